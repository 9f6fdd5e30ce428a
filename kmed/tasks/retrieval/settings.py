"""What a retrieval training is told: plain values, written beside its results."""

from __future__ import annotations

from dataclasses import dataclass

from kmed.tasks.training_settings import PREPROCESSORS, TrainingSettings, setting

LOSSES = {
    "triplet_semihard": "TripletSemiHardLoss",
    "triplet_hard": "TripletHardLoss",
    "triplet_all": "TripletAllLoss",
    "contrastive": "ContrastiveLoss",
    "npairs": "NpairsLoss",
    "lifted_structure": "LiftedStructLoss",
    "ntxent": "NTXentLoss",
    "infonce": "InfoNCELoss",
    "sigmoid": "SigmoidLoss",
    "circle": "CircleLoss",
}
SAMPLERS = ("paired", "labels")
FITS = ("resize", "letterbox")


@dataclass(frozen=True, kw_only=True)
class Settings(TrainingSettings):
    """Settings of a retrieval training; each field's `metadata["help"]` explains it.

    Raises:
        ValueError: for a value outside of its range, naming the field.
    """

    name: str = setting(
        "triplet", "name of the training; its bundles go to saved_models/NAME-MODALITY"
    )
    modalities: tuple[str, ...] | None = setting(
        None, "the two sides, such as ct,t2 or image,text; by default what the data have"
    )
    loss: str = setting("triplet_semihard", ", ".join(LOSSES))
    loss_options: dict = setting({}, "arguments of the loss, such as margin or temperature")
    match: str = setting("key", "what matches: key, the same slice or pair; label, the same class")
    near_mm: float = setting(
        5.0, "slices of one study that are no farther apart are no counterexamples"
    )
    same_patient: bool = setting(
        False, "whether a patient's images of one label may be counterexamples"
    )
    tolerance_mm: float = setting(
        0.0, "a slice found counts as right up to this distance from the query's"
    )
    every_mm: float | None = setting(None, "distance of the slices taken; by default all")
    share: bool = setting(False, "one network for both modalities, of images alone")
    dimension: int = setting(128, "length of an embedding")
    text: dict = setting({}, "further arguments of kmed.applications.text_tower")
    vocabulary: int = setting(5000, "words of a text tower at most")
    word_count: int = setting(2, "a word of the vocabulary occurs so often at least")
    words: int = setting(64, "words of a sentence that a text tower reads")
    word_dropout: float = setting(0.0, "share of words left out at random in training")
    columns: dict = setting(
        {}, "columns of a table: image, text, label; by default guessed from their names"
    )
    key: str | None = setting(
        None, "regular expression whose first group is what two matching files' names share"
    )
    fit: str = setting(
        "resize", "resize stretches the image to the input, letterbox keeps its aspect ratio"
    )
    augmentation: dict = setting(
        {"shift": 0.05}, "arguments of kmed.data.augmentation.Augmentation, before `augment` scales"
    )
    split: str = setting("auto", "auto takes the parts that the data declare; random does not")
    preprocessor: str = setting(
        "auto", "ct, mr, xray or rgb, or one for each modality (ct,mr); auto: as the data say"
    )
    size: tuple[int, ...] = setting(
        (96, 96), "height and width of the image towers' input; three numbers for whole volumes"
    )
    batch_size: int = setting(32, "pairs in a batch, over all devices")
    sampler: str = setting(
        "paired", "paired: all pairs of a batch differ; labels: P labels times K items"
    )
    per_label: int = setting(4, "labels alone: items of a label in a batch")
    epochs: int = setting(30, "passes over the pairs")
    weight_decay: float = setting(0.0, "AdamW's; 0 is Adam")
    memory: int = setting(0, "past embeddings kept as further examples (XBM)")
    memory_start: int = setting(0, "steps before the memory is used")
    chunks: int = setting(1, "parts that a batch is computed in, for less memory")
    gallery: int = setting(100, "beside all, the figures among so many")

    def _rules(self):
        kinds = self.preprocessor.split(",")
        return super()._rules() | {
            "labels": self.labels is None or len(self.labels) >= 1,
            "modalities": self.modalities is None
            or (len(self.modalities) == 2 and len(set(self.modalities)) == 2),
            "loss": self.loss in LOSSES,
            "match": self.match in ("key", "label"),
            "near_mm": self.near_mm >= 0,
            "tolerance_mm": self.tolerance_mm >= 0,
            "every_mm": self.every_mm is None or self.every_mm > 0,
            "dimension": self.dimension >= 2,
            "vocabulary": self.vocabulary >= 3,
            "word_count": self.word_count >= 1,
            "words": self.words >= 1,
            "word_dropout": 0 <= self.word_dropout < 1,
            "columns": set(self.columns) <= {"image", "text", "label"},
            "fit": self.fit in FITS,
            "split": self.split in ("auto", "random"),
            "preprocessor": len(kinds) <= 2 and set(kinds) <= {*PREPROCESSORS, "auto"},
            "sampler": self.sampler in SAMPLERS,
            "per_label": self.per_label >= 1
            and (self.sampler != "labels" or self.batch_size % self.per_label == 0),
            "weight_decay": self.weight_decay >= 0,
            "memory": self.memory >= 0,
            "memory_start": self.memory_start >= 0,
            "chunks": self.chunks >= 1 and self.batch_size % self.chunks == 0,
            "gallery": self.gallery >= 2,
        }
