"""A trained network as files that run without this package: SavedModel and TFLite.

    OUTPUT/1/                          SavedModel, numbered as TF Serving wants it
    OUTPUT/model.tflite                float32
    OUTPUT/model_dynamic_range.tflite  weights of 8 bits
    OUTPUT/model.json                  classes, thresholds, patch size, how far the forms differ
"""

import argparse
import dataclasses
import json
import logging
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from AEROBI.commands.arguments import add_override_flags, overrides
from AEROBI.config import ConfigError
from AEROBI.data_utils import DataError
from AEROBI.scoring import metrics, thresholds

log = logging.getLogger(__name__)

USAGE_ERROR = 2
VERSION = "1"
FLOAT, DYNAMIC_RANGE, DESCRIPTION = (
    "model.tflite", "model_dynamic_range.tflite", "model.json")
EXAMPLE = "example: aerobi export outputs_2 --output model && aerobi predict model photo.jpg"


def export(model: pathlib.Path, output: pathlib.Path, options: argparse.Namespace) -> dict:
    """Writes all forms of a model; returns what model.json holds.

    Raises:
        ConfigError: the model or the output folder cannot be used.
        CheckpointError: the model's weights cannot be read.
        DataError: `--thresholds tuned` or the comparison cannot read the data set.
    """
    from AEROBI.trained import saved_model
    from AEROBI.trained.model_source import find_trained_child

    child = find_trained_child(model, overrides(options))
    # Whatever it was trained in: TFLite has kernels for float32 only, and so all forms agree.
    child = child._replace(config=dataclasses.replace(child.config, precision="float32"))
    data_set, splits = _data(model, child, options)
    with _new_folder(output) as folder:
        chosen = _thresholds(child, splits, options.thresholds)
        saved_model.write_saved_model(child, chosen, folder / VERSION)
        for name, quantised in ((FLOAT, False), (DYNAMIC_RANGE, True)):
            content = saved_model.tflite(child, quantised)
            (folder / name).write_bytes(content)
        description = {
            "format": "AEROBI model", "checkpoint": str(child.prefix),
            "class_names": list(child.class_names), "img_size": child.img_size,
            "thresholds": [round(float(one), 6) for one in chosen],
            "preprocessing": "RGB, 0 to 255, shorter side scaled to img_size (bilinear with "
                             "antialiasing), centre crop",
            "differences": _differences(child, folder, data_set, splits)}
        text = json.dumps(description, indent=1, allow_nan=False)
        (folder / DESCRIPTION).write_text(text + "\n", "utf-8")
    return description


@contextmanager
def _new_folder(output: pathlib.Path) -> Iterator[pathlib.Path]:
    """A folder that becomes `output` when all is written, and is gone when something fails."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"{output}: exists already; name another --output, or remove it")
    parent = output.absolute().parent
    if not parent.is_dir():
        raise ConfigError(f"{parent}: no such folder; make it, or name another --output")
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=parent))
    try:
        yield folder
        if output.exists():
            output.rmdir()
        folder.chmod(0o755)
        folder.rename(output)
    finally:
        if folder.exists():
            shutil.rmtree(folder)


def _data(model: pathlib.Path, child, options: argparse.Namespace) -> tuple:
    """The data set of the model and its packed splits; None where not there and not needed."""
    from AEROBI.data.packed_images import open_packed
    from AEROBI.data_utils import read_data_set
    from AEROBI.flags.from_run_dir import stored_run

    data_path, cache_dir = options.data_path, options.cache_dir
    if child.run_dir is not None:
        data = stored_run(child.run_dir).config.data
        data_path, cache_dir = data_path or data.data_path, cache_dir or data.cache_dir
    try:
        data_set = read_data_set(data_path)
        return data_set, open_packed(data_set, child.img_size, cache_dir)
    except DataError:
        if options.data_path or options.thresholds == "tuned":
            raise
        log.warning("%s: its data set is not there: what is exported is not compared", model)
        return None, None


def _thresholds(child, splits: dict | None, kind: str) -> np.ndarray:
    if kind == "default":
        return np.full(len(child.class_names), thresholds.DEFAULT, np.float32)
    from AEROBI.trained import evaluation
    from AEROBI.trained.classifier import classifier_of

    with classifier_of(child) as classifier:
        said = evaluation.probabilities_of(classifier, splits["val"], evaluation.Views(), "val")
    return thresholds.tune(said, splits["val"].labels)


def _differences(child, folder: pathlib.Path, data_set, splits: dict | None
                 ) -> dict[str, dict] | None:
    """By form: how far its probabilities on the test split are from those of the graph."""
    if splits is None:
        return None
    from AEROBI.trained import evaluation, saved_model
    from AEROBI.trained.classifier import classifier_of, saved_model_classifier

    views, split = evaluation.Views(), splits["test"]
    with classifier_of(child) as classifier:
        expected = evaluation.probabilities_of(classifier, split, views, "graph")
    with saved_model_classifier(folder / VERSION) as classifier:
        found = {
            "saved_model": evaluation.probabilities_of(classifier, split, views, "SavedModel"),
            "saved_model, from image files": _from_files(
                classifier, data_set.splits["test"].paths)}
    for name in (FLOAT, DYNAMIC_RANGE):
        classifier = saved_model.TFLiteClassifier(folder / name, child.class_names)
        found[name] = evaluation.probabilities_of(classifier, split, views, name)
    return {name: _difference(expected, said, split.labels) for name, said in found.items()}


def _from_files(classifier, paths: Sequence[str]) -> np.ndarray:
    """Through the signature for image files, which decodes and scales by itself."""
    return np.concatenate([
        classifier.probabilities_of_files([pathlib.Path(path).read_bytes()]) for path in paths])


def _difference(expected: np.ndarray, found: np.ndarray, labels: np.ndarray) -> dict:
    difference = np.abs(found - expected)
    return {
        "images": len(labels), "largest": float(difference.max()),
        "mean": float(difference.mean()),
        "labels_changed": int(((found >= 0.5) != (expected >= 0.5)).sum()),
        "exact_match": float(metrics.exact_matches(found - 0.5, labels).mean()),
        "exact_match_of_graph": float(metrics.exact_matches(expected - 0.5, labels).mean())}


def table(description: dict) -> str:
    """The differences, for people."""
    if not description["differences"]:
        return "not compared: no data set"
    lines = [f"{'probabilities against the graph':33s} largest      mean  labels changed  "
             "exact match (graph)"]
    for name, one in description["differences"].items():
        lines.append(f"{name:32s} {one['largest']:8.1e}  {one['mean']:8.1e}  "
                     f"{one['labels_changed']:14d}  {one['exact_match']:.4f} "
                     f"({one['exact_match_of_graph']:.4f})")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    from AEROBI.run.checkpoints import CheckpointError

    try:
        description = export(options.model, options.output, options)
    except (CheckpointError, ConfigError, DataError, OSError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return USAGE_ERROR
    sys.stdout.write(f"{table(description)}\n{options.output}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aerobi export", description=__doc__, epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="run directory, or prefix of a checkpoint")
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="FOLDER")
    parser.add_argument("--thresholds", choices=("default", "tuned"), default="default",
                        help="0.5, or tuned on the validation split for the exact match")
    parser.add_argument("--data_path", default="", help="data set; default: that of the run")
    parser.add_argument("--cache_dir", default="", help="folder of the packed images")
    add_override_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
