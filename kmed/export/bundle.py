"""Preprocessor, network and decoder as one artefact, on disk as TensorFlow Serving wants it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kmed.export.card import write_card
from kmed.export.decoder import SegmentationDecoder
from kmed.export.facts import bundle_facts
from kmed.export.fold import fold_batch_norm
from kmed.export.graph import rebuild, reduction
from kmed.export.join import FITS, check_margin, check_parts, join, logits_of
from kmed.export.planes import pool_in_planes
from kmed.export.saved_model import export_saved_model
from kmed.export.tflite import export_tflite
from kmed.export.versions import bundle_folder, new_version
from kmed.export.warmup import write_warmup

FOLDING_TOLERANCE = 1e-5  # of probabilities; of larger values relative to the largest


class Bundle:
    """A network from raw pixels to findings: by default to a mask of the image's size.

    `model` takes float32 `(B, [D,] H, W, C)` of any size in the preprocessor's units and gives
    what its decoder does: masks and probabilities of each voxel (int32 `(B, [D,] H, W)`, float32
    `(B, [D,] H, W, K)`), the image's label and probabilities (int32 `(B,)`, float32 `(B, K)`), or
    boxes in the pixels of the image.

    Args:
        name: name of the artefact: letters, digits, "_", "-" and ".".
        preprocessor: a model of `kmed.preprocessors`.
        network: a functional model that gives logits, or a dictionary with "logits".
        labels: names of the classes; of masks the background first. A network of one logit has
            two.
        decoder: `SegmentationDecoder()`, the default, `ClassificationDecoder(kind)` or
            `DetectionDecoder(codec, size)`.
        fit: how an image of any size meets the network. "resize": resized to `size`, the logits
            resized back. "pad": its edge repeated up to a multiple of 2**(levels-1), then cropped.
            "tile": mirrored outwards for a network of valid convolutions (the whole image is one
            tile). "letterbox", for detectors: resized into `size` without changing its aspect
            ratio, with a margin.
        size: spatial size of "resize" and of the TFLite file, in pixels; by default the network's
            own input size (the output size of a network of valid convolutions).
        levels: resolutions of the network, the bottom counted; by default read from its strides.
        spacing_mm: voxel size of the training images along each spatial axis, for whoever
            resamples; the bundle itself does not.
        metadata: further facts for bundle.json (values that JSON has). No patient's data.

    Raises:
        ValueError: if an argument is outside of what is said above.

    With "pad" and "tile" a network of fixed size is copied, weights included, for any size. A
    network of mixed precision is copied to float32: half precision belongs to the training.

    Example:
        >>> from kmed import preprocessors
        >>> image = keras.Input((8, 8, 1))
        >>> network = keras.Model(image, keras.layers.Conv2D(2, 3, padding="same")(image))
        >>> bundle = Bundle("tiny", preprocessors.xray(), network, fit="pad")
        >>> labels, probabilities = bundle.predict(np.zeros((5, 7, 1), "int16"))
        >>> labels.shape, probabilities.shape
        ((5, 7), (5, 7, 2))
    """

    def __init__(
        self,
        name: str,
        preprocessor: keras.Model,
        network: keras.Model,
        *,
        labels: Sequence[str] = ("background", "foreground"),
        decoder: keras.layers.Layer | None = None,
        fit: str = "resize",
        size: Sequence[int] | None = None,
        levels: int | None = None,
        spacing_mm: Sequence[float] | None = None,
        metadata: dict[str, Any] | None = None,
    ):
        """Check the parts against each other and join them."""
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
            raise ValueError(
                f'`name` becomes a folder: letters, digits, "_", "-" and "."; received {name!r}'
            )
        if fit not in FITS:
            raise ValueError(f"`fit` must be one of {FITS}; received {fit!r}")
        self.name, self.fit = name, fit
        self.preprocessor, self.network = preprocessor, network
        self.decoder = decoder or SegmentationDecoder(name="decoder")
        self.labels, self.metadata = tuple(labels), dict(metadata or {})
        self.spacing_mm = None if spacing_mm is None else tuple(float(s) for s in spacing_mm)
        self.levels = levels or reduction(network).bit_length()
        own = network.input_shape if fit != "tile" else logits_of(network.output).shape
        self.size = tuple(size or own[1:-1])
        if None in self.size:
            self.size = None
        check_parts(self)
        if any(layer.compute_dtype != "float32" for layer in network.layers):
            self.network = rebuild(self.network, dtype="float32")
        if fit in ("pad", "tile") and None not in network.input_shape[1:]:
            channels = network.input_shape[-1]
            self.network = rebuild(self.network, input_shape=(*[None] * self.rank, channels))
        check_margin(self)
        self.model = join(self, self.network)

    @property
    def rank(self) -> int:
        """Number of spatial axes, 2 or 3."""
        return len(self.network.input_shape) - 2

    @property
    def channels(self) -> int:
        """Channels of the raw image."""
        return self.preprocessor.input_shape[-1]

    @cached_property
    def inference_model(self) -> keras.Model:
        """`model` with its batch normalisations folded, where that changes less than 1e-5."""
        folded = fold_batch_norm(self.network)
        fitted = keras.Model(self.model.input, self.model.get_layer("fit").output)
        image = fitted(self.example_image()[None], training=False)
        expected, found = (
            self.decoder.probe(logits_of(network(image, training=False)))
            for network in (self.network, folded)
        )
        limit = FOLDING_TOLERANCE * max(1.0, float(keras.ops.max(keras.ops.abs(expected))))
        worst = float(keras.ops.max(keras.ops.abs(found - expected)))
        return join(self, folded) if worst <= limit else self.model

    @cached_property
    def tflite_model(self) -> keras.Model:
        """`inference_model` out of layers that TFLite's built-in operators can compute."""
        network = self.inference_model.get_layer(self.network.name)
        planar = pool_in_planes(network)
        return self.inference_model if planar is network else join(self, planar)

    def predict(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Segment or classify one image or volume.

        Args:
            image: `(H, W, C)` or `(D, H, W, C)` of any size and number type, in the
                preprocessor's units.

        Returns:
            Labels, uint8 `(H, W)`, `(D, H, W)`, `()` or `(K,)`, and probabilities, float32
            `(..., K)`.

        Raises:
            ValueError: if the image's rank or channels are not the bundle's.
        """
        outputs = self.answer(image)
        return np.asarray(outputs["labels"], "uint8"), outputs["probabilities"]

    def detect(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Detect the objects of one image.

        Args:
            image: as in `predict`.

        Returns:
            "boxes" float32 `(N, 4)` xyxy in pixels of the image, "scores" float32 `(N,)`, falling,
            and "labels" int32 `(N,)`.

        Raises:
            ValueError: if the image's rank or channels are not the bundle's.
        """
        outputs = self.answer(image)
        return {name: outputs[name][: outputs["count"]] for name in ("boxes", "scores", "labels")}

    def answer(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """Give all outputs of the bundle for one image, as `decoder.outputs` names them.

        Args:
            image: as in `predict`.

        Returns:
            Arrays by name, without batch axis.

        Raises:
            ValueError: if the image's rank or channels are not the bundle's.
        """
        image = np.asarray(image)
        if image.ndim != self.rank + 1 or image.shape[-1] != self.channels or 0 in image.shape:
            raise ValueError(
                f"`image` must be {'(D, H, W, C)' if self.rank == 3 else '(H, W, C)'} with "
                f'{self.channels} channels for the bundle "{self.name}"; '
                f"received shape {image.shape}"
            )
        # A tf.function: keras' own predict takes twice as long for a single image.
        outputs = self._function(tf.constant(image[None], tf.float32))
        return {name: value.numpy()[0] for name, value in outputs.items()}

    def example_image(self, seed: int = 0) -> np.ndarray:
        """Noise of the bundle's size, for warm-up requests and timing.

        Args:
            seed: seed of the noise.

        Returns:
            float32 `(H, W, C)` or `(D, H, W, C)` in [0, 255].
        """
        multiple = 2 ** (self.levels - 1)
        size = self.size or (2 * multiple,) * self.rank
        return np.random.default_rng(seed).uniform(0, 255, (*size, self.channels)).astype("float32")

    def save(
        self,
        root: str | Path,
        version: int | None = None,
        *,
        card: dict[str, Any] | None = None,
        tflite: bool = True,
        quantize: Sequence[str] = (),
        representative: Iterable[np.ndarray] | None = None,
    ) -> Path:
        """Write the bundle as root/NAME/VERSION, all of it or nothing.

        The folder holds saved_model.pb and variables/ with warm-up requests, model.keras,
        model.tflite (and model_float16.tflite, model_int8.tflite), bundle.json, card.md and
        card.json.

        Args:
            root: folder of all bundles, for example "saved_models".
            version: a number that does not exist yet; by default the next one.
            card: facts for the model card, see `kmed.export.write_card`.
            tflite: False leaves TFLite out (for a network that it cannot hold).
            quantize: further TFLite files, out of "float16" and "int8".
            representative: raw images of the bundle's size, for "int8".

        Returns:
            The folder root/NAME/VERSION.

        Raises:
            FileExistsError: if the version exists.
            UnsupportedOperatorError: if TFLite lacks an operator; nothing is written.
            ValueError: if an argument is outside of what is said above.
        """
        if (tflite or quantize) and self.size is None:
            raise ValueError(
                "TFLite files have one fixed size and the network has none: give the bundle a "
                "`size`, or save with tflite=False"
            )
        with new_version(Path(root) / self.name, version) as (folder, number):
            signature = self.decoder.signature
            export_saved_model(self.inference_model, folder, signature)
            example = {"image": self.example_image()[None]}
            write_warmup(folder, self.name, example, ("serving_default", signature))
            self.model.save(folder / "model.keras")
            files = {None: "model.tflite"} if tflite else {}
            files |= {kind: f"model_{kind}.tflite" for kind in quantize}
            for kind, file in files.items():
                export_tflite(self, folder / file, quantize=kind, representative=representative)
            text = json.dumps(bundle_facts(self, number), indent=2, ensure_ascii=False)
            (folder / "bundle.json").write_text(text + "\n", encoding="utf-8")
            write_card(folder, {"name": self.name, "version": number, **(card or {})})
        return Path(root) / self.name / str(number)

    @classmethod
    def load(cls, path: str | Path) -> Bundle:
        """Load what `save` wrote.

        Args:
            path: root/NAME/VERSION, or root/NAME for its latest version.

        Returns:
            The bundle; its network is trainable as it was (batch normalisation not folded).

        Raises:
            FileNotFoundError: if the folder is no bundle.
        """
        folder = bundle_folder(path)
        facts = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
        model = keras.models.load_model(folder / "model.keras", compile=False)
        return cls(
            facts["name"],
            model.get_layer(facts["preprocessor"]),
            model.get_layer(facts["network"]),
            decoder=model.get_layer("decoder"),
            **{key: facts[key] for key in ("labels", "fit", "size", "levels", "spacing_mm")},
            metadata=facts["metadata"],
        )

    @cached_property
    def _function(self):
        spec = tf.TensorSpec(self.model.input_shape, tf.float32)
        return tf.function(
            lambda image: self.model(image, training=False), input_signature=[spec], autograph=False
        )
