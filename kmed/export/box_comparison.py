"""Do two formats of a detector find the same boxes?"""

from __future__ import annotations

from typing import Any

import numpy as np

_PIXELS = 1e-3
_SCORE = 1e-4
_ANOTHER = 1.0  # pixels by which one box is not another one that was moved
_TIE = 1e-5  # of scores and overlaps around the thresholds


class AgreementError(AssertionError):
    """An exported format gives other findings than Keras."""


class BoxComparison:
    """Running counts of one format's detections against those of Keras.

    Each detection of Keras must be found again with the same label, its corners within 0.001
    pixels and its score within 1e-4. The order of equal scores is free. Suppression is a decision:
    a box whose score is within 1e-5 of the threshold or of the last score that was kept, which
    overlaps another detection by the threshold to within 1e-5, or in whose place the other format
    kept another overlapping box whose score is within 1e-5 of its own, may fall to either side;
    such detections are counted as ties, and only they are let pass.

    Args:
        postprocessing: the decoder's options, whose thresholds make the ties.
    """

    def __init__(self, postprocessing: dict[str, Any]):
        """Begin with nothing counted."""
        self.thresholds = postprocessing["score_threshold"], postprocessing["iou_threshold"]
        self.most = postprocessing["max_detections"]
        self.images, self.detections, self.differing, self.ties = 0, 0, 0, 0
        self.box_difference, self.score_difference = 0.0, 0.0

    def add(self, expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> None:
        """Count one image.

        Args:
            expected: Keras' outputs "boxes" `(M, 4)`, "scores", "labels" `(M,)` and "count".
            found: the same of the other format.
        """
        first, second = _real(expected), _real(found)
        self.images += 1
        self.detections += len(first[1])
        taken, lost = np.zeros(len(second[1]), bool), []
        for i, (box, score, label) in enumerate(zip(*first, strict=True)):
            distance = np.abs(second[0] - box).max(axis=1, initial=0.0)
            fits = (second[2] == label) & (distance <= _PIXELS) & ~taken
            fits &= np.abs(second[1] - score) <= _SCORE
            if fits.any():
                best = int(np.flatnonzero(fits)[distance[fits].argmin()])
                taken[best] = True
                self.box_difference = max(self.box_difference, float(distance[best]))
                gap = abs(float(second[1][best] - score))
                self.score_difference = max(self.score_difference, gap)
            else:
                lost.append(i)
        only_first = tuple(values[lost] for values in first)
        only_second = tuple(values[~taken] for values in second)
        for ours, others in ((only_first, only_second), (only_second, only_first)):
            for box, score, label in zip(*ours, strict=True):
                rivals = tuple(values[others[2] == label] for values in others[:2])
                self._count_differing(box, score, first, rivals)

    def row(self) -> dict[str, Any]:
        """Give the counts."""
        return {
            "images": self.images,
            "detections": self.detections,
            "max_box_difference": self.box_difference,
            "max_score_difference": self.score_difference,
            "differing": self.differing,
            "differing_ties": self.ties,
        }

    def check(self, name: str, allowed: float = 0.0) -> None:
        """Raise if the format differs.

        Args:
            name: of the format.
            allowed: share of detections that may differ.

        Raises:
            AgreementError: saying by how much.
            ValueError: if no image was compared.
        """
        if not self.images:
            raise ValueError("`images` is empty: agreement is counted on at least one image")
        if self.differing - self.ties > allowed * self.detections:
            raise AgreementError(
                f"{name} gives other detections than Keras: {self.differing} of "
                f"{self.detections} differ, {self.ties} of them ties at a threshold"
            )

    def _count_differing(self, box, score, detections, rivals):
        boxes, scores, _ = detections
        score_threshold, iou_threshold = self.thresholds
        limits = [score_threshold]
        if len(scores) == self.most:
            limits.append(scores[-1])
        tie = min(abs(score - limit) for limit in limits) <= _TIE
        tie |= bool((np.abs(_iou(box, boxes) - iou_threshold) <= _TIE).any())
        instead = _iou(box, rivals[0]) >= iou_threshold - _TIE
        instead &= np.abs(rivals[1] - score) <= _TIE
        instead &= np.abs(rivals[0] - box).max(axis=1, initial=0.0) >= _ANOTHER
        tie |= bool(instead.any())
        self.differing += 1
        self.ties += int(tie)


def _real(outputs):
    count = int(outputs["count"])
    return tuple(np.asarray(outputs[name])[:count] for name in ("boxes", "scores", "labels"))


def _iou(box, boxes):
    sides = np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2])
    intersection = np.clip(sides, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    union = (box[2:] - box[:2]).prod() + areas - intersection
    return intersection / np.maximum(union, 1e-12)
