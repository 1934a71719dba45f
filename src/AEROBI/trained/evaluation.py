"""A trained network on a split: all metrics per label and overall, with 95 % intervals."""

import argparse
import json
import logging
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from AEROBI.commands.arguments import add_override_flags, overrides
from AEROBI.config import ConfigError
from AEROBI.data_utils import SPLITS, DataError, read_data_set
from AEROBI.run.whole_files import replace_file
from AEROBI.scoring import bootstrap as intervals
from AEROBI.scoring import metrics, thresholds
from AEROBI.scoring.bootstrap import MetricIntervals

USAGE_ERROR = 2
BATCH = 64  # images
EXAMPLE = "example: aerobi evaluate outputs_2 --split test --thresholds tuned --flip"


class Views(NamedTuple):
    """Over which views of an image the probabilities are averaged."""

    flip: bool = False  # and the left-right mirrored one
    five_crop: bool = False  # the four corners and the centre, instead of the centre

    @property
    def count(self) -> int:
        """How many views an image has."""
        return (5 if self.five_crop else 1) * (2 if self.flip else 1)


class Evaluation(NamedTuple):
    """The outcome on one split."""

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
            label.update({f"{field}_interval": _plain(one) for field, one in fields.items()})
        return {"split": self.split, "level": intervals.LEVEL, **record}

    def summary(self) -> str:
        """The table for people."""
        said = ", ".join(f"{name} {value:.3f}" for name, value in zip(
            self.metrics.class_names, self.thresholds))
        return (f"{self.split} split, 95 % bootstrap intervals over images\n"
                f"{intervals.table(self.metrics, self.intervals)}\nthresholds           {said}")


def _plain(found: intervals.Interval) -> list[float] | None:
    return None if np.isnan(found.low) else list(found)


def windows(height: int, width: int, side: int, views: Views) -> list[tuple[int, int]]:
    """(top, left) of the crops of an image, pixels; the centre one is first (SPEC 3)."""
    bottom, right = height - side, width - side
    centre = (bottom // 2, right // 2)
    return [centre, (0, 0), (0, right), (bottom, 0), (bottom, right)][:5 if views.five_crop else 1]


def _patches(split, side: int, views: Views) -> Iterator[np.ndarray]:
    """Batches of whole images, uint8 [images * views, S, S, 3], the views of an image together."""
    per_batch = max(1, BATCH // views.count)
    for start in range(0, len(split.labels), per_batch):
        batch = []
        for i in range(start, min(start + per_batch, len(split.labels))):
            image = split.image(i)
            for top, left in windows(*image.shape[:2], side, views):
                patch = image[top:top + side, left:left + side]
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
        for patches in _patches(split, classifier.img_size, views):
            said = classifier.probabilities(patches)
            found.append(said.reshape(-1, views.count, said.shape[-1]).mean(1))
            bar.update(len(found[-1]))
    return np.concatenate(found)


def evaluate(model: pathlib.Path, options: argparse.Namespace) -> Evaluation:
    """Opens the model and its data set, and measures.

    Raises:
        ConfigError, CheckpointError: the model cannot be used.
        DataError: the data set cannot be used.
    """
    from AEROBI.data.packed_images import open_packed
    from AEROBI.trained.classifier import open_classifier

    data_path, cache_dir = _data_of(model, options)
    data_set = read_data_set(data_path)
    with open_classifier(model, overrides(options)) as classifier:
        if classifier.class_names != data_set.class_names:
            raise ConfigError(f"{data_path}: its classes {', '.join(data_set.class_names)} are not "
                              f"the model's, {', '.join(classifier.class_names)}")
        splits = open_packed(data_set, classifier.img_size, cache_dir)
        views = Views(options.flip, options.five_crop)
        chosen = classifier.thresholds
        if options.thresholds == "tuned":
            chosen = thresholds.tune(probabilities_of(classifier, splits["val"], views, "val"),
                                     splits["val"].labels)
        split = splits[options.split]
        said = probabilities_of(classifier, split, views, options.split)
    scores = thresholds.scores(said, chosen)
    return Evaluation(
        options.split, chosen, metrics.evaluate(scores, split.labels, data_set.class_names),
        intervals.bootstrap(scores, split.labels, data_set.class_names))


def _data_of(model: pathlib.Path, options: argparse.Namespace) -> tuple[str, str]:
    """Data folder and cache: as given, or those of the run the model comes from."""
    from AEROBI.flags.from_run_dir import is_run, stored_run

    data_path, cache_dir = options.data_path, options.cache_dir
    for folder in (model, *model.absolute().parents[:2]):
        if is_run(folder):
            data = stored_run(folder).config.data
            return data_path or data.data_path, cache_dir or data.cache_dir
    if not data_path:
        raise ConfigError(f"{model}: does not say which data it was trained on; give --data_path")
    return data_path, cache_dir


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    from AEROBI.run.checkpoints import CheckpointError

    try:
        found = evaluate(options.model, options)
        if options.output:
            text = json.dumps(found.to_record(), indent=1, allow_nan=False)
            replace_file(options.output, (text + "\n").encode())
    except (CheckpointError, ConfigError, DataError, OSError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return USAGE_ERROR
    sys.stdout.write(found.summary() + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aerobi evaluate", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("model", type=pathlib.Path,
                        help="run directory, prefix of a checkpoint, or exported model")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--thresholds", choices=("default", "tuned"), default="default",
                        help="the model's (0.5 unless exported with others), or tuned on the "
                        "validation split for the exact match")
    parser.add_argument("--flip", action="store_true",
                        help="average with the left-right mirrored image")
    parser.add_argument("--five_crop", action="store_true",
                        help="average over the four corners and the centre")
    parser.add_argument("--data_path", default="", help="data set; default: that of the run")
    parser.add_argument("--cache_dir", default="", help="folder of the packed images")
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE", help="JSON file to write")
    add_override_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
