"""What a child said of every image of a split, kept as a file: scores, truth, names."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from AEROBI.run.regular_files import read_bytes
from AEROBI.run.whole_files import replace_file


class PredictionsError(ValueError):
    """A file that holds no predictions; the message names it."""


class Predictions(NamedTuple):
    """n images in the order of the split."""

    epoch: int  # epochs the child had been trained for
    class_names: tuple[str, ...]
    paths: tuple[str, ...]  # below the data folder, parts separated by "/"
    logits: np.ndarray  # float32 [n, classes]
    labels: np.ndarray  # uint8 [n, classes]


def file_name(split: str) -> str:
    """The name of a split's file in a run directory."""
    return f"predictions_{split}.npz"


def save(path: Path, predictions: Predictions) -> None:
    """Writes the file in one piece, or not at all."""
    file = io.BytesIO()
    np.savez_compressed(
        file, epoch=np.int64(predictions.epoch), class_names=np.array(predictions.class_names),
        paths=np.array(predictions.paths), logits=predictions.logits.astype(np.float32),
        labels=predictions.labels.astype(np.uint8))
    replace_file(path, file.getvalue())


def load(path: Path) -> Predictions:
    """Reads the predictions that `save` wrote.

    Raises:
        PredictionsError: it is damaged, or another kind of file.
        OSError: it cannot be read.
    """
    content = read_bytes(path)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            predictions = Predictions(
                int(file["epoch"]), tuple(map(str, file["class_names"])),
                tuple(map(str, file["paths"])), file["logits"], file["labels"])
    except Exception as error:  # a damaged archive raises nearly anything
        raise PredictionsError(f"{path}: holds no predictions ({error}); evaluate again") from None
    images, classes = len(predictions.paths), len(predictions.class_names)
    for name in ("logits", "labels"):
        shape = getattr(predictions, name).shape
        if shape != (images, classes):
            raise PredictionsError(f"{path}: {name} {list(shape)} of {images} images and "
                                   f"{classes} classes; evaluate again")
    return predictions
