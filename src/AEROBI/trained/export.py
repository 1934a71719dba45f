"""A trained network as files that run without this package: SavedModel and TFLite.

    OUTPUT/1/                          SavedModel, numbered as TF Serving wants it
    OUTPUT/model.tflite                float32
    OUTPUT/model_dynamic_range.tflite  weights of 8 bits
    OUTPUT/model.json                  classes, thresholds, patch size, how far the forms differ
"""

import dataclasses
import json
import logging
import pathlib
from collections.abc import Sequence

import numpy as np

from AEROBI.config import ConfigError
from AEROBI.data_utils import DataError
from AEROBI.run.whole_files import new_folder
from AEROBI.scoring import metrics, thresholds
from AEROBI.trained.overrides import AS_THE_MODEL_SAYS, AS_THE_RUN_HAD, DataPlace, Overrides
from AEROBI.trained.tflite_classifier import DESCRIPTION, TFLiteClassifier

log = logging.getLogger(__name__)

VERSION = "1"
SCALINGS = {False: "bilinear with antialiasing",
            True: "TensorFlow 1's bilinear: no antialiasing, corners on each other, the longer "
                  "side cut to a whole number"}
FLOAT, DYNAMIC_RANGE = "model.tflite", "model_dynamic_range.tflite"


def export(model: pathlib.Path, output: pathlib.Path, tuned: bool = False,
           given: Overrides = AS_THE_MODEL_SAYS, place: DataPlace = AS_THE_RUN_HAD) -> dict:
    """Writes all forms of a model; returns what model.json holds.

    Args:
        model: a run directory, or the prefix of a checkpoint.
        output: folder to make; it may exist if it is empty.
        tuned: thresholds tuned on the validation split for the exact match; else 0.5.
        given: what the model itself does not say.
        place: where the images are that the forms are compared on.

    Raises:
        ConfigError: the model or the output folder cannot be used.
        CheckpointError: the model's weights cannot be read.
        DataError: tuning or the comparison cannot read the data set.
    """
    from AEROBI.trained import saved_model
    from AEROBI.trained.model_source import find_trained_child

    child = find_trained_child(model, given)
    # Whatever it was trained in: TFLite has kernels for float32 only, and so all forms agree.
    child = child._replace(config=dataclasses.replace(child.config, precision="float32"))
    data_set, splits = _data(model, child, place, tuned)
    _check_output(output)
    with new_folder(output) as folder:
        chosen = _thresholds(child, splits if tuned else None)
        saved_model.write_saved_model(child, chosen, folder / VERSION)
        for name, quantised in ((FLOAT, False), (DYNAMIC_RANGE, True)):
            content = saved_model.tflite(child, quantised)
            (folder / name).write_bytes(content)
        description = {
            "format": "AEROBI model", "checkpoint": str(child.prefix),
            "class_names": list(child.class_names), "img_size": child.img_size,
            "thresholds": [round(float(threshold), 6) for threshold in chosen],
            "preprocessing": "RGB, 0 to 255, shorter side scaled to img_size "
                             f"({SCALINGS[child.aliased_scaling]}), centre crop; "
                             "pixels as they are stored: turn an image with an EXIF "
                             "orientation first, as `aerobi predict` does",
             "aliased_scaling": child.aliased_scaling,
            "differences": _differences(child, folder, data_set, splits)}
        text = json.dumps(description, indent=1, allow_nan=False)
        (folder / DESCRIPTION).write_text(text + "\n", "utf-8")
    return description


def _check_output(output: pathlib.Path) -> None:
    """ConfigError unless `output` is new or empty, in a folder that is there."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"{output}: exists already; name another --output, or remove it")
    parent = output.absolute().parent
    if not parent.is_dir():
        raise ConfigError(f"{parent}: no such folder; make it, or name another --output")


def _data(model: pathlib.Path, child, place: DataPlace, needed: bool) -> tuple:
    """The data set of the model and its packed splits; None where not there and not needed."""
    from AEROBI.data.packed_images import open_packed
    from AEROBI.data_utils import read_data_set
    from AEROBI.flags.from_run_dir import stored_run
    from AEROBI.run.restore import check_same_data

    data_path, cache_dir = place
    if child.run_dir is not None:
        data = stored_run(child.run_dir).config.data
        data_path, cache_dir = data_path or data.data_path, cache_dir or data.cache_dir
    try:
        data_set = read_data_set(data_path)
        if data_set.class_names != child.class_names:
            raise ConfigError(f"{data_path}: its classes {', '.join(data_set.class_names)} are not "
                              f"the model's, {', '.join(child.class_names)}")
        splits = open_packed(data_set, child.img_size, cache_dir, child.aliased_scaling)
        if child.run_dir is not None and not place.data_path:
            check_same_data(child.run_dir, splits["val"].fingerprint)
        return data_set, splits
    except DataError:
        if place.data_path or needed:
            raise
        log.warning("%s: its data set is not there: what is exported is not compared", model)
        return None, None


def _thresholds(child, splits: dict | None) -> np.ndarray:
    """Tuned on the validation split; the default without images."""
    if splits is None:
        return np.full(len(child.class_names), thresholds.DEFAULT, np.float32)
    from AEROBI.trained import evaluation
    from AEROBI.trained.classifier import classifier_of

    with classifier_of(child) as classifier:
        probabilities = evaluation.probabilities_of(
            classifier, splits["val"], evaluation.Views(), "val")
    return thresholds.tune(probabilities, splits["val"].labels)


def _differences(child, folder: pathlib.Path, data_set, splits: dict | None
                 ) -> dict[str, dict] | None:
    """How far each form's probabilities on the test split are from those of the graph."""
    if splits is None:
        return None
    from AEROBI.trained import evaluation
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
        classifier = TFLiteClassifier(folder / name, child.class_names)
        found[name] = evaluation.probabilities_of(classifier, split, views, name)
    return {name: _difference(expected, probabilities, split.labels)
            for name, probabilities in found.items()}


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
    """The differences between the exported forms and the graph, as a table for people."""
    if not description["differences"]:
        return "not compared: no data set"
    lines = [f"{'probabilities against the graph':33s} largest      mean  labels changed  "
             "exact match (graph)"]
    for name, values in description["differences"].items():
        lines.append(f"{name:32s} {values['largest']:8.1e}  {values['mean']:8.1e}  "
                     f"{values['labels_changed']:14d}  {values['exact_match']:.4f} "
                     f"({values['exact_match_of_graph']:.4f})")
    return "\n".join(lines)
