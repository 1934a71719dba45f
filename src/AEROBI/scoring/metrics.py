"""Exact match of multi-label predictions (CODEBRIM, section 4), and per label the usual four."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Metrics(NamedTuple):
    """Metrics of one evaluated set of images; arrays have one entry a label.

    A label that is predicted for no image has precision 0, one that no image has recall 0; F1
    is 0 where both are. Its average precision is nan where no image has the label.
    """

    class_names: tuple[str, ...]
    images: int
    exact_match: float  # share of images that have all labels right
    mean_label_accuracy: float  # share of right labels, mean over the labels
    mean_average_precision: float  # over the labels that an image has; nan without any
    positives: np.ndarray  # int64 [classes], images that have the label
    accuracy: np.ndarray  # float64 [classes]
    precision: np.ndarray  # float64 [classes]
    recall: np.ndarray  # float64 [classes]
    f1: np.ndarray  # float64 [classes]
    average_precision: np.ndarray  # float64 [classes], area under the steps, no interpolation


def exact_matches(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """bool [n]: whether all labels of an image are right; scores are logits."""
    return ((scores >= 0) == (labels > 0)).all(1)


def worth(measure: str, logits: np.ndarray, labels: np.ndarray) -> float:
    """What an architecture is worth to the controller, larger is better.

    Args:
        measure: "exact_match", the share of images with all labels right (CODEBRIM, section 4);
            "mean_ap", the mean average precision of the labels that some image has;
            "negative_loss", minus the sigmoid cross entropy.
        logits: float [n, classes].
        labels: uint8 [n, classes], 0 or 1.
    """
    if measure == "mean_ap":
        present = np.flatnonzero(labels.any(0))
        return float(np.mean([average_precision(logits[:, k], labels[:, k] > 0)
                              for k in present])) if len(present) else 0.0
    if measure == "negative_loss":
        signed = np.where(labels > 0, -logits, logits).astype(np.float64)
        return -float(np.logaddexp(0.0, signed).mean())
    return float(exact_matches(logits, labels).mean())



def evaluate(scores: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Metrics:
    """All metrics of a set of images.

    Args:
        scores: float [n, classes], logits: 0 or above (sigmoid >= 0.5) predicts the label. For
            probabilities pass `probabilities - 0.5`; only sign and order matter. A nan (of a
            child that diverged) predicts nothing and makes its label's average precision nan.
        labels: uint8 [n, classes], 0 or 1.
        class_names: one for each column.

    Raises:
        ValueError: shapes that do not fit, no images, or labels other than 0 and 1.
    """
    scores, labels = np.asarray(scores), np.asarray(labels)
    _check(scores, labels, class_names)
    truth = labels > 0
    predicted = scores >= 0
    right = predicted == truth
    hits = (predicted & truth).sum(0)
    positives = truth.sum(0)
    average = np.array([average_precision(scores[:, k], truth[:, k])
                        for k in range(labels.shape[1])])
    has_positives = positives > 0
    return Metrics(
        class_names=tuple(class_names),
        images=len(labels),
        exact_match=float(right.all(1).mean()),
        mean_label_accuracy=float(right.mean()),
        mean_average_precision=(
            float(average[has_positives].mean()) if has_positives.any() else float("nan")),
        positives=positives,
        accuracy=right.mean(0),
        precision=_ratio(hits, predicted.sum(0)),
        recall=_ratio(hits, positives),
        f1=_ratio(2 * hits, predicted.sum(0) + positives),
        average_precision=average)


def average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """Sum over score thresholds of (gain in recall) x precision; nan without positives.

    Equal scores share a threshold: no order within them is pretended.

    Args:
        scores: float [n]; nan where one is nan.
        truth: bool [n].
    """
    if not truth.any() or np.isnan(scores).any():
        return float("nan")
    hits, precision = _at_thresholds(scores, truth)
    return float(np.sum(np.diff(hits, prepend=0) * precision) / hits[-1])


def precision_recall(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Recall and precision at every threshold, from the highest score on; equal scores share one.

    Args:
        scores: float [n], finite.
        truth: bool [n], with at least one True.

    Returns:
        float64 [thresholds + 1] each; the first is recall 0 with the precision of the second, so
        that the area under the steps is `average_precision`.
    """
    hits, precision = _at_thresholds(scores, truth)
    return np.append(0, hits / hits[-1]), np.append(precision[0], precision)


def _at_thresholds(scores: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True positives and precision of what scores at least the threshold, for each score."""
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last_of_ties = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(scores) - 1)
    hits = np.cumsum(truth[order])[last_of_ties]
    return hits, hits / (last_of_ties + 1)


def to_record(metrics: Metrics) -> dict:
    """Plain values for JSON; nan becomes None."""
    per_label = {
        "positives": metrics.positives, "accuracy": metrics.accuracy,
        "precision": metrics.precision, "recall": metrics.recall, "f1": metrics.f1,
        "average_precision": metrics.average_precision}
    return {
        "images": metrics.images,
        "exact_match": metrics.exact_match,
        "mean_label_accuracy": metrics.mean_label_accuracy,
        "mean_average_precision": _or_none(metrics.mean_average_precision),
        "labels": {
            name: {key: _or_none(values[k].item()) for key, values in per_label.items()}
            for k, name in enumerate(metrics.class_names)}}


def table(metrics: Metrics) -> str:
    """Plain text, a line for each label, then the numbers of the whole."""
    width = max(len("label"), *map(len, metrics.class_names))
    columns = ("images", "accuracy", "precision", "recall", "F1", "AP")
    lines = [f"{'label':<{width}}" + "".join(f"  {name:>9}" for name in columns)]
    for k, name in enumerate(metrics.class_names):
        values = (metrics.accuracy[k], metrics.precision[k], metrics.recall[k], metrics.f1[k],
                  metrics.average_precision[k])
        lines.append(f"{name:<{width}}  {metrics.positives[k]:>9d}"
                     + "".join(f"  {_text(value):>9}" for value in values))
    totals = (("images", str(metrics.images)), ("exact match", _text(metrics.exact_match)),
              ("mean label accuracy", _text(metrics.mean_label_accuracy)),
              ("mean AP", _text(metrics.mean_average_precision)))
    return "\n".join([*lines, "", *(f"{name:<20} {text}" for name, text in totals)])


def _check(scores: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> None:
    if scores.ndim != 2 or scores.shape != labels.shape:
        raise ValueError(f"scores {list(scores.shape)} and labels {list(labels.shape)}: "
                         "both must be [images, classes]")
    if len(set(class_names)) != len(class_names) or len(class_names) != labels.shape[1]:
        raise ValueError(f"class_names {list(class_names)}: one different name is needed for "
                         f"each of the {labels.shape[1]} columns of the labels")
    if not labels.size:
        raise ValueError(f"labels {list(labels.shape)}: nothing to evaluate")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("labels: only 0 and 1 are allowed")


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, 0 where the whole is 0."""
    return part / np.maximum(whole, 1)


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value


def _text(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.4f}"
