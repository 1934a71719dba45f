"""A trained network on a split: all metrics per label and overall, with 95 % intervals."""

import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from AEROBI.config import ConfigError
from AEROBI.data import patches
from AEROBI.data_utils import read_data_set
from AEROBI.scoring import bootstrap as intervals
from AEROBI.scoring import metrics, thresholds
from AEROBI.scoring.bootstrap import MetricIntervals
from AEROBI.trained.overrides import AS_THE_MODEL_SAYS, AS_THE_RUN_HAD, DataPlace, Overrides

BATCH = 64  # images


class Views(NamedTuple):
    """Over which views of an image the probabilities are averaged."""

    flip: bool = False  # and the left-right mirrored one
    five_crop: bool = False  # the four corners and the centre, instead of the centre

    @property
    def crops(self) -> int:
        """How many patches are cut out of an image, the centre one first."""
        return 5 if self.five_crop else 1

    @property
    def count(self) -> int:
        """How many views an image has."""
        return self.crops * (2 if self.flip else 1)


CENTRE = Views()


class EvaluationReport(NamedTuple):
    """How good a model is on one split, with the thresholds that were used."""

    split: str
    thresholds: np.ndarray  # float32 [classes]
    metrics: metrics.Metrics
    intervals: MetricIntervals

    def to_record(self) -> dict:
        """Plain values for JSON; nan becomes None."""
        record = metrics.to_record(self.metrics)
        for name in ("exact_match", "mean_label_accuracy", "mean_average_precision"):
            record[f"{name}_interval"] = _plain(getattr(self.intervals, name))
        for k, (name, fields) in enumerate(self.intervals.labels.items()):
            label = record["labels"][name]
            label["threshold"] = float(self.thresholds[k])
            label.update({f"{field}_interval": _plain(interval)
                          for field, interval in fields.items()})
        return {"split": self.split, "level": intervals.LEVEL, **record}

    def summary(self) -> str:
        """The metrics, their intervals and the thresholds as a table for people."""
        values = ", ".join(f"{name} {value:.3f}" for name, value in zip(
            self.metrics.class_names, self.thresholds))
        return (f"{self.split} split, 95 % bootstrap intervals over images\n"
                f"{intervals.table(self.metrics, self.intervals)}\nthresholds           {values}")


def _plain(found: intervals.Interval) -> list[float] | None:
    return None if np.isnan(found.low) else list(found)


def _patches(split, side: int, views: Views) -> Iterator[np.ndarray]:
    """Batches of whole images, uint8 [images * views, S, S, 3], the views of an image together."""
    per_batch = max(1, BATCH // views.count)
    for start in range(0, len(split.labels), per_batch):
        batch = []
        for i in range(start, min(start + per_batch, len(split.labels))):
            image = split.image(i)
            for corner in patches.five_corners(*image.shape[:2], side)[:views.crops]:
                patch = patches.cut(image, corner, side)
                batch += [patch, patch[:, ::-1]] if views.flip else [patch]
        yield np.stack(batch)


def probabilities_of(classifier, split, views: Views, title: str = "") -> np.ndarray:
    """What a classifier says of every image of a packed split, float32 [n, classes].

    Args:
        classifier: `classifier.Classifier`.
        split: `packed_images.PackedSplit`, packed for its patch size.
        views: averaged over, as probabilities.
        title: of the progress bar.
    """
    found = []
    with tqdm(total=len(split.labels), desc=title, leave=False, disable=None) as bar:
        for batch in _patches(split, classifier.img_size, views):
            probabilities = classifier.probabilities(batch)
            found.append(probabilities.reshape(-1, views.count, probabilities.shape[-1]).mean(1))
            bar.update(len(found[-1]))
    return np.concatenate(found)


def evaluate(model: pathlib.Path, split: str = "test", tuned: bool = False,
             views: Views = CENTRE, given: Overrides = AS_THE_MODEL_SAYS,
             place: DataPlace = AS_THE_RUN_HAD) -> EvaluationReport:
    """Opens the model and its data set, and measures.

    Args:
        model: a run directory, the prefix of a checkpoint, or an exported model.
        split: "train", "val" or "test".
        tuned: thresholds tuned on the validation split for the exact match; else the model's.
        views: averaged over, as probabilities.
        given: what the model itself does not say.
        place: where the images are.

    Raises:
        ConfigError, CheckpointError: the model cannot be used.
        DataError: the data set cannot be used.
    """
    from AEROBI.data.packed_images import open_packed
    from AEROBI.run.restore import check_same_data
    from AEROBI.trained.classifier import open_classifier

    run_dir = _run_of(model)
    data_path, cache_dir = _data_of(model, run_dir, place)
    data_set = read_data_set(data_path)
    with open_classifier(model, given) as classifier:
        if classifier.class_names != data_set.class_names:
            raise ConfigError(f"{data_path}: its classes {', '.join(data_set.class_names)} are not "
                              f"the model's, {', '.join(classifier.class_names)}")
        splits = open_packed(data_set, classifier.img_size, cache_dir,
                             classifier.aliased_scaling)
        if run_dir is not None and not place.data_path:
            check_same_data(run_dir, splits[split].fingerprint)
        chosen = classifier.thresholds
        if tuned:
            chosen = thresholds.tune(probabilities_of(classifier, splits["val"], views, "val"),
                                     splits["val"].labels)
        labels = splits[split].labels
        probabilities = probabilities_of(classifier, splits[split], views, split)
    scores = thresholds.scores(probabilities, chosen)
    return EvaluationReport(
        split, chosen, metrics.evaluate(scores, labels, data_set.class_names),
        intervals.bootstrap(scores, labels, data_set.class_names))


def _run_of(model: pathlib.Path) -> pathlib.Path | None:
    """The run directory that a model is, or lies in; None where it lies in none."""
    from AEROBI.flags.from_run_dir import is_run

    folders = (model, *model.absolute().parents[:2])
    return next((folder for folder in folders if is_run(folder)), None)


def _data_of(model: pathlib.Path, run_dir: pathlib.Path | None, place: DataPlace) -> DataPlace:
    """Data folder and cache: as given, or those of the run the model comes from."""
    from AEROBI.flags.from_run_dir import stored_run

    data_path, cache_dir = place
    if run_dir is not None:
        data = stored_run(run_dir).config.data
        return DataPlace(data_path or data.data_path, cache_dir or data.cache_dir)
    if not data_path:
        raise ConfigError(f"{model}: does not say which data it was trained on; give --data_path")
    return place
