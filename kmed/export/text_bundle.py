"""Vocabulary and text tower as one artefact: strings in, embeddings out."""

from __future__ import annotations

import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kmed.export.card import write_card
from kmed.export.embedding_decoder import EmbeddingDecoder
from kmed.export.facts import versions
from kmed.export.saved_model import export_saved_model
from kmed.export.tflite import export_tflite
from kmed.export.versions import bundle_folder, new_version
from kmed.export.warmup import write_warmup

_EXAMPLE = "an example of a sentence"  # for the warm-up requests; of no report


class TextBundle:
    """A text tower from sentences to embeddings, with its vocabulary inside.

    `model` takes strings `(B,)` and gives {"embedding": float32 `(B, dimension)`}.

    Args:
        name: name of the artefact: letters, digits, "_", "-" and ".".
        preprocessor: `kmed.preprocessors.text(vocabulary)`.
        network: from word indices `(B, length)` to embeddings, as `kmed.applications.text_tower`.
        metadata: further facts for bundle.json (values that JSON has). No patient's data.

    Raises:
        ValueError: if the parts do not fit each other or the name is no folder's.
    """

    def __init__(
        self,
        name: str,
        preprocessor: keras.Model,
        network: keras.Model,
        *,
        metadata: dict[str, Any] | None = None,
    ):
        """Join the parts."""
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", name):
            raise ValueError(
                f'`name` becomes a folder: letters, digits, "_", "-" and "."; received {name!r}'
            )
        if preprocessor.output_shape[1:] != network.input_shape[1:]:
            raise ValueError(
                "the preprocessor must give as many words as the network takes; received "
                f"{preprocessor.output_shape} and {network.input_shape}"
            )
        self.name, self.metadata = name, dict(metadata or {})
        self.preprocessor, self.network = preprocessor, network
        self.labels, self.size, self.decoder = (), None, EmbeddingDecoder()
        text = keras.Input((), dtype="string", name="text")
        self.model = keras.Model(text, self.decoder(network(preprocessor(text))), name=name)

    @property
    def vocabulary(self) -> list[str]:
        """The words of index 2, 3 and so on; 0 is padding and 1 any other word."""
        layers = self.preprocessor.layers
        (layer,) = (one for one in layers if isinstance(one, keras.layers.TextVectorization))
        return layer.get_vocabulary()[2:]

    def answer(self, text: str) -> dict[str, np.ndarray]:
        """Embed one sentence.

        Args:
            text: the sentence.

        Returns:
            "embedding" float32 `(dimension,)`.

        Raises:
            ValueError: if it is no string.
        """
        if not isinstance(text, str):
            raise ValueError(f"`text` must be a string; received {type(text).__name__}")
        outputs = self._function(tf.constant([text]))
        return {name: value.numpy()[0] for name, value in outputs.items()}

    def save(
        self,
        root: str | Path,
        version: int | None = None,
        *,
        card: dict[str, Any] | None = None,
    ) -> Path:
        """Write the bundle as root/NAME/VERSION, all of it or nothing.

        The folder holds saved_model.pb and variables/ (strings in; the vocabulary is inside),
        model.keras, model.tflite (TFLite has no strings among its built-in operators: it takes
        "ids", int32 `(1, length)`), vocabulary.txt (the word of index i + 2 in line i, from 0),
        bundle.json, card.md and card.json.

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
            signatures = ("serving_default", self.decoder.signature)
            write_warmup(folder, self.name, {"text": np.array([_EXAMPLE])}, signatures)
            self.model.save(folder / "model.keras")
            named = keras.Model(self.network.input, self.decoder(self.network.output))
            export_tflite(named, folder / "model.tflite")
            words = "".join(f"{word}\n" for word in self.vocabulary)
            (folder / "vocabulary.txt").write_text(words, encoding="utf-8")
            facts = {
                "name": self.name,
                "version": number,
                "input": {"name": "text", "length": self.network.input_shape[1]},
                "signature": self.decoder.signature,
                "outputs": self.decoder.outputs,
                "preprocessor": self.preprocessor.name,
                "network": self.network.name,
                "versions": versions(),
                "metadata": self.metadata,
            }
            text = json.dumps(facts, indent=2, ensure_ascii=False)
            (folder / "bundle.json").write_text(text + "\n", encoding="utf-8")
            write_card(folder, {"name": self.name, "version": number, **(card or {})})
        return Path(root) / self.name / str(number)

    @classmethod
    def load(cls, path: str | Path) -> TextBundle:
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
            model.get_layer(facts["preprocessor"]),
            model.get_layer(facts["network"]),
            metadata=facts["metadata"],
        )

    @cached_property
    def _function(self):
        spec = tf.TensorSpec(self.model.input_shape, tf.string)
        return tf.function(
            lambda text: self.model(text, training=False), input_signature=[spec], autograph=False
        )
