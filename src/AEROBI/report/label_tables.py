"""What a child gets right and wrong, label by label: tables, precision over recall, pairs."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np

from AEROBI.records.run_records import SPLITS, RunRecords, number
from AEROBI.records.split_predictions import Predictions
from AEROBI.scoring import metrics

COLUMNS = {"accuracy": "accuracy", "precision": "precision", "recall": "recall", "f1": "F1",
           "average_precision": "AP"}


class LabelTable(NamedTuple):
    """Metrics of one split; numbers are nan where they are not known."""

    split: str
    epoch: int
    images: int
    exact_match: float
    mean_label_accuracy: float
    mean_average_precision: float
    rows: tuple[tuple[str, int, tuple[float, ...]], ...]  # name, images with it, COLUMNS


class Pairs(NamedTuple):
    """How labels are mistaken, [A, B]: of the images that truly have A ...

    On the diagonal the share where A was missed; elsewhere, of those that do not have B, the share
    where B was said all the same. nan where there is no such image.
    """

    class_names: tuple[str, ...]
    share: np.ndarray  # float64 [classes, classes]
    images: np.ndarray  # int64 [classes, classes], of which it is a share


def label_tables(run: RunRecords, predictions: Mapping[str, Predictions]) -> list[LabelTable]:
    """A table of each split, from its predictions, else its record at the best evaluation."""
    tables = []
    for split in SPLITS:
        if split in predictions:
            found = predictions[split]
            record = metrics.to_record(
                metrics.evaluate(found.logits, found.labels, found.class_names))
            tables.append(_table(split, found.epoch, record))
        elif record := _best_record(run, split):
            tables.append(_table(split, int(number(record.get("epoch"), 0)), record))
    return [table for table in tables if table.rows]


def _best_record(run: RunRecords, split: str) -> dict[str, Any] | None:
    best = run.best_evaluation()
    records = [record for record in run.of_split(split) if best and record.get("epoch") == best[0]]
    return records[-1] if records else None


def _table(split: str, epoch: int, record: Mapping[str, Any]) -> LabelTable:
    labels = record.get("labels")
    rows = tuple(
        (str(name), int(number(values.get("positives"), 0)),
         tuple(number(values.get(key)) for key in COLUMNS))
        for name, values in (labels if isinstance(labels, dict) else {}).items()
        if isinstance(values, dict))
    return LabelTable(split, epoch, int(number(record.get("images"), 0)), *(
        number(record.get(name)) for name in
        ("exact_match", "mean_label_accuracy", "mean_average_precision")), rows)


def usable(predictions: Mapping[str, Predictions], notes: list[str]) -> dict[str, Predictions]:
    """The predictions that can be evaluated; `notes` gets a sentence for each of the others."""
    found = {}
    for split, scored in predictions.items():
        try:
            metrics.evaluate(scored.logits, scored.labels, scored.class_names)
            found[split] = scored
        except (ValueError, TypeError) as error:
            notes.append(f"The predictions of {split} are left out: {error}.")
    return found


def most_common(predictions: Mapping[str, Predictions], count: int, notes: list[str]
                ) -> dict[str, Predictions]:
    """The predictions of the `count` labels that most images have, in their own order.

    For what grows with the labels or their square, and is drawn; `notes` gets a sentence where
    labels are left out.
    """
    images: dict[str, int] = {}
    for scored in predictions.values():
        for name, positives in zip(scored.class_names, (scored.labels > 0).sum(0)):
            images[name] = images.get(name, 0) + int(positives)
    if len(images) <= count:
        return dict(predictions)
    kept = set(sorted(images, key=lambda name: -images[name])[:count])
    notes.append(f"Precision over recall and mistaken labels are shown of the {count} labels that "
                 f"most images have; the other {len(images) - count} are in the tables alone.")
    return {split: _of_labels(scored, kept) for split, scored in predictions.items()}


def _of_labels(predictions: Predictions, names: Collection[str]) -> Predictions:
    columns = [at for at, name in enumerate(predictions.class_names) if name in names]
    return predictions._replace(
        class_names=tuple(predictions.class_names[at] for at in columns),
        logits=predictions.logits[:, columns], labels=predictions.labels[:, columns])


def pairs(predictions: Predictions) -> Pairs:
    """Which labels are missed, and which are said of images with another."""
    truth, predicted = predictions.labels > 0, predictions.logits >= 0
    has, lacks = truth.astype(np.int64), (~truth).astype(np.int64)
    images = has.T @ lacks
    wrong = has.T @ (lacks * predicted)
    diagonal = np.diag_indices(truth.shape[1])
    images[diagonal] = truth.sum(0)
    wrong[diagonal] = (truth & ~predicted).sum(0)
    share = np.where(images > 0, wrong / np.maximum(images, 1), np.nan)
    return Pairs(predictions.class_names, share, images)
