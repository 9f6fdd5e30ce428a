"""All measures of a classifier on a test set, with intervals from resampling patients."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kmed.metrics.bootstrap import Interval, bootstrap_statistics
from kmed.metrics.calibration import brier_score, expected_calibration_error
from kmed.metrics.confusion import (
    accuracy,
    confusion_matrix,
    f1,
    sensitivity,
)
from kmed.metrics.decisions import check_kind, decision_confidence, decisions
from kmed.metrics.kappa import kappa
from kmed.metrics.operating_point import best_sensitivity, best_specificity
from kmed.metrics.precision_recall import precision_of_counts
from kmed.metrics.roc import area_of_counts, ranked_counts

#: Name of the entry that holds the measures of all classes together.
ALL = "all"


def classification_report(
    truth: np.ndarray,
    probabilities: np.ndarray,
    labels: Sequence[str],
    *,
    kind: str,
    thresholds: float | Sequence[float] | None = None,
    patients: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, dict[str, Interval]]:
    """Returns every measure of a classifier with its bootstrap interval over patients.

    Of each class against the rest (of a binary classifier only of `labels[1]`): `positives` (their
    number, without an interval), `auc`, `average_precision`, `sensitivity`, `specificity` and `f1`
    of the decisions, `sensitivity_at_specificity_0.9` and `specificity_at_sensitivity_0.9` of the
    scores.

    Under "all": `auc`, `average_precision`, `balanced_accuracy` (for multilabel the mean of
    sensitivity and specificity) and `f1` as means over the classes, `accuracy` (for multilabel of
    all decisions, and `exact_match` of whole rows), `kappa` (quadratic weights for ordinal; none
    for multilabel), `ece` (15 bins; binary: of the positive class' probability; multilabel: mean
    over the classes; otherwise of the probability of the class decided on), `brier`, and for
    ordinal `mean_absolute_error` in grades.

    A class that no example has, or all have, gives NaN where a measure needs what is missing, and
    `omitted` 1; means leave it out and count it in `omitted`. Resamples that lack a class of the
    test set are left out, see `bootstrap_statistics`.

    Args:
        truth: `(N,)` class indices; `(N, K)` 0 or 1 for multilabel.
        probabilities: `(N, K)` of all K classes; for two classes K = 2.
        labels: names of the K classes.
        kind: one of `kmed.metrics.KINDS`.
        thresholds: as `kmed.metrics.decisions`; chosen on validation data.
        patients: the patient of each example, or None if each is another patient.
        level: of confidence, between 0 and 1.
        resamples: number of bootstrap samples.
        seed: of the resampling.

    Returns:
        `{name: {measure: Interval}}`, the classes in the order of `labels`, "all" last.

    Raises:
        ValueError: for shapes that do not fit, a truth that is no class, probabilities outside
            0..1 or that do not sum to 1, or names that are not K different ones.

    Example:
        >>> p = np.array([0.1, 0.2, 0.7, 0.4, 0.6, 0.9])
        >>> report = classification_report(
        ...     [0, 0, 0, 1, 1, 1], np.stack([1 - p, p], 1), ["normal", "pneumonia"], kind="binary"
        ... )
        >>> list(report), round(report["pneumonia"]["auc"].value, 3)
        (['pneumonia', 'all'], 0.778)
    """
    truth, probabilities = _checked(truth, probabilities, labels, kind)
    predicted = decisions(probabilities, kind, thresholds)
    confidence = decision_confidence(probabilities, kind, thresholds)
    measure = _Measures(truth, probabilities, predicted, confidence, labels, kind)
    names: list[tuple[str, str]] = []

    def statistic(weights):
        values = measure(weights)
        names[:] = values
        return np.stack(list(values.values()), axis=1)

    intervals = bootstrap_statistics(
        statistic,
        len(truth),
        patients=patients,
        level=level,
        resamples=resamples,
        seed=seed,
    )
    report: dict[str, dict[str, Interval]] = {}
    for (name, key), interval in zip(names, intervals, strict=True):
        if key == "positives":
            interval = interval._replace(low=float("nan"), high=float("nan"))
        elif name == ALL:
            interval = interval._replace(omitted=max(interval.omitted, measure.omitted.get(key, 0)))
        report.setdefault(name, {})[key] = interval
    return report


class _Measures:
    """Every measure of R samples at once, from their weights `(R, N)`."""

    def __init__(self, truth, probabilities, predicted, confidence, labels, kind):
        self.probabilities, self.predicted, self.kind = probabilities, predicted, kind
        self.confidence, self.labels, self.classes = confidence, labels, len(labels)
        self.truth = truth
        multilabel = kind == "multilabel"
        self.hot = truth if multilabel else (truth[:, None] == np.arange(self.classes)) * 1
        self.found = (
            predicted if multilabel else (predicted[:, None] == np.arange(self.classes)) * 1
        )
        # A mean over classes takes those that the test set can judge.
        occurs, differs = self.hot.any(axis=0), self.hot.any(axis=0) & ~self.hot.all(axis=0)
        self.judged = {
            "auc": differs,
            "average_precision": occurs,
            "f1": occurs,
            "balanced_accuracy": differs if multilabel else occurs,
        }
        self.omitted = {key: int((~kept).sum()) for key, kept in self.judged.items()}

    def __call__(self, weights):
        """Gives `{(name, measure): (R,)}`."""
        single = [self._against_rest(k, weights) for k in range(self.classes)]
        shown = [1] if self.kind == "binary" else range(self.classes)
        values = {(self.labels[k], key): v for k in shown for key, v in single[k].items()}
        overall = self._overall(weights)
        for key in ("auc", "average_precision", "f1"):
            overall[key] = self._mean(key, [values[key] for values in single])
        recall = [values["sensitivity"] for values in single]
        if self.kind == "multilabel":
            recall = [(values["sensitivity"] + values["specificity"]) / 2 for values in single]
        overall["balanced_accuracy"] = self._mean("balanced_accuracy", recall)
        order = ("auc", "average_precision", "accuracy", "balanced_accuracy", "f1")
        overall = {key: overall[key] for key in order} | overall
        return values | {(ALL, key): value for key, value in overall.items()}

    def _against_rest(self, k, weights):
        counts = ranked_counts(self.hot[:, k], self.probabilities[:, k], weights)
        matrix = confusion_matrix(self.hot[:, k], self.found[:, k], 2, weights)
        rates = sensitivity(matrix)
        return {
            "positives": counts.true_positives[..., -1],
            "auc": area_of_counts(counts),
            "average_precision": precision_of_counts(counts),
            "sensitivity": rates[..., 1],
            "specificity": rates[..., 0],
            "f1": f1(matrix)[..., 1],
            "sensitivity_at_specificity_0.9": best_sensitivity(counts, 0.9),
            "specificity_at_sensitivity_0.9": best_specificity(counts, 0.9),
        }

    def _overall(self, weights):
        total = weights.sum(axis=-1)
        brier = brier_score(self.truth, self.probabilities, self.kind, weights)
        if self.kind == "multilabel":
            right = self.truth == self.predicted
            errors = [
                expected_calibration_error(
                    self.truth[:, k], self.probabilities[:, k], weights=weights
                )
                for k in range(self.classes)
            ]
            return {
                "accuracy": weights @ right.mean(axis=1) / total,
                "exact_match": weights @ right.all(axis=1) / total,
                "ece": np.mean(errors, axis=0),
                "brier": brier,
            }
        matrix = confusion_matrix(self.truth, self.predicted, self.classes, weights)
        outcome, confidence = self.truth == self.predicted, self.confidence
        if self.kind == "binary":
            outcome, confidence = self.truth, self.probabilities[:, 1]
        values = {
            "accuracy": accuracy(matrix),
            "kappa": kappa(matrix, "quadratic" if self.kind == "ordinal" else None),
            "ece": expected_calibration_error(outcome, confidence, weights=weights),
            "brier": brier,
        }
        if self.kind == "ordinal":
            distance = np.abs(self.truth - self.predicted)
            values["mean_absolute_error"] = weights @ distance / total
        return values

    def _mean(self, key, values):
        kept = [value for value, held in zip(values, self.judged[key], strict=True) if held]
        return np.mean(kept, axis=0) if kept else np.full_like(values[0], np.nan)


def _checked(truth, probabilities, labels, kind):
    check_kind(kind)
    truth, probabilities = np.asarray(truth), np.asarray(probabilities, "float64")
    if kind != "multilabel" and truth.ndim == 2 and truth.shape[1] == 1:
        truth = truth[:, 0]
    rows, classes = len(truth), len(labels)
    if len(set(labels)) != classes or ALL in labels or (kind == "binary" and classes != 2):
        raise ValueError(
            f"`labels` must be {'two' if kind == 'binary' else 'K'} different names, none of them "
            f'"{ALL}"; received {list(labels)}'
        )
    if truth.shape != ((rows, classes) if kind == "multilabel" else (rows,)):
        raise ValueError(
            f"`truth` of a {kind} classifier must have shape "
            f"{'(N, K)' if kind == 'multilabel' else '(N,)'}; received {truth.shape}"
        )
    if rows == 0 or probabilities.shape != (rows, classes):
        raise ValueError(
            f"`probabilities` must have shape {(rows, classes)}, a row for each example and a "
            f"column for each of `labels`; received {probabilities.shape}"
        )
    allowed = (0, 1) if kind == "multilabel" else np.arange(classes)
    if not np.isin(truth, allowed).all():
        wrong = truth[~np.isin(truth, allowed)]
        raise ValueError(
            f"`truth` must hold values 0..{allowed[-1]}; received {np.unique(wrong)[:6].tolist()}"
        )
    inside = (probabilities >= -1e-6) & (probabilities <= 1 + 1e-6)
    if not inside.all():
        raise ValueError(
            "`probabilities` must lie in 0..1; received "
            f"{probabilities[~inside][0]} in row {int(np.argmin(inside.all(axis=1)))}"
        )
    # 1e-2 leaves room for half precision.
    if kind != "multilabel" and not np.allclose(probabilities.sum(axis=1), 1, atol=1e-2):
        raise ValueError(
            f"`probabilities` of a {kind} classifier must sum to 1 in each row; received sums from "
            f"{probabilities.sum(axis=1).min():g} to {probabilities.sum(axis=1).max():g}"
        )
    return truth.astype("int64"), probabilities
