"""A generator that needs no image: random numbers (and a class) in, images in raw units out."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kmed.export.card import write_card
from kmed.export.facts import versions
from kmed.export.image_comparison import ImageComparison
from kmed.export.image_decoder import ImageDecoder
from kmed.export.saved_model import export_saved_model, input_specs
from kmed.export.tflite import export_tflite, load_tflite
from kmed.export.versions import bundle_folder, new_version
from kmed.export.warmup import write_warmup

_BATCH = 32  # images at a time


class GeneratorBundle:
    """A generator with the way back to raw units.

    `model` takes "latent", float32 `(B, latent)` of a standard normal distribution, and of a
    conditional generator "labels", int32 `(B,)`; it gives {"image": float32 `(B, [D,] H, W, C)`}
    in the units of the images that were learnt from.

    Args:
        name: name of the artefact: letters, digits, "_", "-" and ".".
        network: as `kmed.applications.dcgan_generator`.
        decoder: `ImageDecoder(low, high)`.
        labels: names of the classes of a conditional generator; empty for any other.
        metadata: further facts for bundle.json (values that JSON has). No patient's data.

    Raises:
        ValueError: if the parts do not fit each other or the name is no folder's.
    """

    def __init__(
        self,
        name: str,
        network: keras.Model,
        decoder: ImageDecoder,
        *,
        labels: Sequence[str] = (),
        metadata: dict[str, Any] | None = None,
    ):
        """Join the parts."""
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
            raise ValueError(
                f'`name` becomes a folder: letters, digits, "_", "-" and "."; received {name!r}'
            )
        self.name, self.network, self.decoder = name, network, decoder
        self.labels, self.metadata = tuple(labels), dict(metadata or {})
        self.conditional = isinstance(network.input, dict)
        if self.conditional != bool(self.labels):
            raise ValueError(
                "`labels` must name the classes of a conditional generator, and be empty for any "
                f"other; received {self.labels} for a "
                f"{'' if self.conditional else 'un'}conditional network"
            )
        inputs = {
            key: keras.Input(spec.shape[1:], dtype=spec.dtype.name, name=key)
            for key, spec in self._specs.items()
        }
        given = inputs if self.conditional else inputs["latent"]
        self.model = keras.Model(inputs, decoder(network(given)), name=name)

    @property
    def size(self) -> tuple[int, ...]:
        """Spatial size of the images."""
        return tuple(self.network.output_shape[1:-1])

    @property
    def latent(self) -> int:
        """Random numbers that an image is made of."""
        return int(self._specs["latent"].shape[-1])

    @property
    def _specs(self) -> dict[str, tf.TensorSpec]:
        specs = input_specs(self.network)
        return specs if self.conditional else {"latent": next(iter(specs.values()))}

    def label_of(self, name: str) -> int:
        """Look up a class.

        Args:
            name: of the class.

        Returns:
            Its index.

        Raises:
            ValueError: if the generator knows no classes or not this one.
        """
        if name not in self.labels:
            known = f"its classes are {', '.join(self.labels)}" if self.labels else "it has none"
            raise ValueError(f"{self.name} makes no images of the class {name!r}: {known}")
        return self.labels.index(name)

    def latents(self, count: int, seed: int = 0) -> np.ndarray:
        """Draw random numbers for images; equal seeds give equal images.

        Args:
            count: number of images.
            seed: of the numbers.

        Returns:
            float32 `(count, latent)`.
        """
        random = np.random.default_rng(seed)
        return random.standard_normal((count, self.latent)).astype("float32")

    def answer(self, latent: np.ndarray, labels: Sequence[int] | None = None) -> np.ndarray:
        """Make images.

        Args:
            latent: float32 `(N, latent)`.
            labels: of a conditional generator N indices of classes.

        Returns:
            float32 `(N, [D,] H, W, C)` in raw units.

        Raises:
            ValueError: if the latent vectors or the labels do not fit the generator.
        """
        latent = np.asarray(latent, "float32")
        if latent.ndim != 2 or latent.shape[1] != self.latent or not len(latent):
            raise ValueError(f"`latent` must be (N, {self.latent}); received {latent.shape}")
        if self.conditional != (labels is not None):
            raise ValueError(
                "`labels` are for a conditional generator, which needs them; received "
                f"{labels!r} for the bundle {self.name}"
            )
        given = {"latent": latent}
        if labels is not None:
            given["labels"] = np.asarray(labels, "int32")
            fits = given["labels"].shape == latent.shape[:1]
            if (
                not fits
                or not (0 <= given["labels"]).all()
                or given["labels"].max() >= len(self.labels)
            ):
                raise ValueError(
                    f"`labels` must be {len(latent)} numbers from 0 to {len(self.labels) - 1}; "
                    f"received {labels!r}"
                )
        parts = []
        for first in range(0, len(latent), _BATCH):
            part = {key: tf.constant(all_[first : first + _BATCH]) for key, all_ in given.items()}
            parts.append(self._function(part)["image"].numpy())
        return np.concatenate(parts)

    def save(
        self, root: str | Path, version: int | None = None, *, card: dict[str, Any] | None = None
    ) -> Path:
        """Write the bundle as root/NAME/VERSION, all of it or nothing.

        The folder holds saved_model.pb and variables/ with warm-up requests, model.keras,
        model.tflite (batch 1), bundle.json, card.md and card.json.

        Args:
            root: folder of all bundles, for example "saved_models".
            version: a number that does not exist yet; by default the next one.
            card: facts for the model card, see `kmed.export.write_card`.

        Returns:
            The folder root/NAME/VERSION.

        Raises:
            FileExistsError: if the version exists.
            UnsupportedOperatorError: if TFLite lacks an operator; nothing is written.
        """
        with new_version(Path(root) / self.name, version) as (folder, number):
            export_saved_model(self.model, folder, self.decoder.signature)
            example = {"latent": self.latents(1)}
            if self.conditional:
                example["labels"] = np.zeros(1, "int32")
            write_warmup(folder, self.name, example, ("serving_default", self.decoder.signature))
            self.model.save(folder / "model.keras")
            export_tflite(self.model, folder / "model.tflite")
            facts = {
                "name": self.name,
                "version": number,
                "labels": self.labels,
                "size": self.size,
                "input": {"name": "latent", "length": self.latent},
                "signature": self.decoder.signature,
                "outputs": self.decoder.outputs,
                "network": self.network.name,
                "versions": versions(),
                "metadata": self.metadata,
            }
            text = json.dumps(facts, indent=2, ensure_ascii=False)
            (folder / "bundle.json").write_text(text + "\n", encoding="utf-8")
            write_card(folder, {"name": self.name, "version": number, **(card or {})})
        return Path(root) / self.name / str(number)

    @classmethod
    def load(cls, path: str | Path) -> GeneratorBundle:
        """Load what `save` wrote.

        Args:
            path: root/NAME/VERSION, or root/NAME for its latest version.

        Returns:
            The bundle.

        Raises:
            FileNotFoundError: if the folder is no bundle.
        """
        folder = bundle_folder(path)
        facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        model = keras.models.load_model(folder / "model.keras", compile=False)
        return cls(
            facts["name"],
            model.get_layer(facts["network"]),
            model.get_layer("decoder"),
            labels=facts["labels"],
            metadata=facts["metadata"],
        )

    @cached_property
    def _function(self):
        return tf.function(lambda given: self.model(given, training=False), reduce_retracing=True)


def check_generator_agreement(
    path: str | Path, images: int = 16, *, seed: int = 0
) -> dict[str, dict[str, Any]]:
    """Compare each format of a saved generator with its Keras model, image by image.

    Args:
        path: the bundle's folder (NAME/VERSION).
        images: how many, at least 1; classes take turns.
        seed: of the random numbers.

    Returns:
        For "saved_model" and "tflite": images, max_difference (of the network's [-1, 1]) and
        max_raw_difference.

    Raises:
        AgreementError: if a voxel differs by more than 1e-4 of the network's range.
    """
    folder = Path(path)
    bundle = GeneratorBundle.load(folder)
    served = tf.saved_model.load(str(folder))
    serve, lite = served.signatures[bundle.decoder.signature], load_tflite(folder / "model.tflite")
    limits = bundle.decoder.low, bundle.decoder.high
    report = {name: ImageComparison(*limits) for name in ("saved_model", "tflite")}
    for i, latent in enumerate(bundle.latents(images, seed)):
        given = {"latent": latent}
        if bundle.conditional:
            given["labels"] = np.int32(i % len(bundle.labels))
        labels = [given["labels"]] if bundle.conditional else None
        expected = {"image": bundle.answer(latent[None], labels)[0]}
        found = serve(**{key: tf.constant(value[None]) for key, value in given.items()})
        report["saved_model"].add(expected, {"image": found["image"].numpy()[0]})
        report["tflite"].add(expected, lite(given))
    for name, comparison in report.items():
        comparison.check(name)
    return {name: comparison.row() for name, comparison in report.items()}
