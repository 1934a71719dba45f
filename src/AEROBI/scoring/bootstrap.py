"""Bootstrap intervals of metrics: how much they would vary with other images (Efron, 1979)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from AEROBI.scoring.metrics import Metrics, evaluate

RESAMPLES = 1000
LEVEL = 0.95


class Interval(NamedTuple):
    """A percentile interval; nan where the metric is."""

    low: float
    high: float


class MetricIntervals(NamedTuple):
    """The intervals of a `Metrics`, by the names of its fields."""

    exact_match: Interval
    mean_label_accuracy: Interval
    mean_average_precision: Interval
    labels: dict[str, dict[str, Interval]]  # class name -> field -> interval


LABEL_FIELDS = ("accuracy", "precision", "recall", "f1", "average_precision")


def bootstrap(scores: np.ndarray, labels: np.ndarray, class_names: Sequence[str], seed: int = 0,
              resamples: int = RESAMPLES) -> MetricIntervals:
    """95 % intervals: the images are drawn again with replacement, and measured again.

    Args:
        scores, labels, class_names: as of `metrics.evaluate`, n images.
        seed: of the draws.
        resamples: how often.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        drawn = rng.integers(len(labels), size=len(labels))
        found.append(evaluate(scores[drawn], labels[drawn], class_names))
    per_label = {field: np.array([getattr(sample, field) for sample in found])
                 for field in LABEL_FIELDS}
    return MetricIntervals(
        *(interval([getattr(sample, field) for sample in found])
          for field in MetricIntervals._fields[:3]),
        {name: {field: interval(values[:, k]) for field, values in per_label.items()}
         for k, name in enumerate(class_names)})


def interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """The middle `level` of the values; those that are nan do not count."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    if not values.size:
        return Interval(float("nan"), float("nan"))
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high))


def table(metrics: Metrics, intervals: MetricIntervals) -> str:
    """Plain text: every metric with its interval."""
    width = max(len("label"), *map(len, metrics.class_names))
    heads = ("accuracy", "precision", "recall", "F1", "AP")
    lines = [f"{'label':<{width}}  images" + "".join(f"  {head:<19}" for head in heads)]
    for k, name in enumerate(metrics.class_names):
        cells = (with_interval(getattr(metrics, field)[k], intervals.labels[name][field])
                 for field in LABEL_FIELDS)
        lines.append(f"{name:<{width}}  {metrics.positives[k]:6d}"
                     + "".join(f"  {cell:<19}" for cell in cells))
    totals = (("exact match", metrics.exact_match, intervals.exact_match),
              ("mean label accuracy", metrics.mean_label_accuracy, intervals.mean_label_accuracy),
              ("mean AP", metrics.mean_average_precision, intervals.mean_average_precision))
    lines += ["", f"{'images':<20} {metrics.images}"]
    lines += [f"{name:<20} {with_interval(*cell)}" for name, *cell in totals]
    return "\n".join(line.rstrip() for line in lines)


def with_interval(value: float, found: Interval) -> str:
    """A value and its interval as text: "0.812 [0.770, 0.851]"."""
    if np.isnan(value):
        return "-"
    return f"{value:.3f} [{found.low:.3f}, {found.high:.3f}]"
