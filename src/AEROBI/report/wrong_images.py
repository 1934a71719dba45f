"""The images a child got most wrong, with small pictures of them where the data set is there.

Paths come from a file, so nothing outside the data folder is opened: no absolute path, no "..",
no link that leads out, nothing but files that are PNG or JPEG.
"""

import base64
import io
import math
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from AEROBI.data.image_files import decode, scaled_size
from AEROBI.data.patches import centre_crop
from AEROBI.data_utils import DataError
from AEROBI.records.split_predictions import Predictions

SIDE = 144  # pixels of a thumbnail
MOST_VERDICTS = 30  # labels that are written beside an image


class Verdict(NamedTuple):
    """What was said of one label of an image, where it was said or true."""

    name: str
    probability: float  # nan of a child that diverged
    outcome: str  # "right", "missed" or "wrongly said"


class WrongImage(NamedTuple):
    """One image and its labels, those that are absent and were not said left out."""

    path: str
    verdicts: tuple[Verdict, ...]  # at most MOST_VERDICTS, then the wrong ones first
    more: int  # labels that are left out
    picture: str  # data URI, or empty
    placeholder: str  # why there is no picture


def most_wrong(predictions: Predictions, count: int) -> list[int]:
    """Up to `count` images with a wrong label, by their cross entropy, the worst first."""
    truth = predictions.labels > 0
    wrong = np.flatnonzero(((predictions.logits >= 0) != truth).any(1))
    signed = np.where(truth, -1.0, 1.0) * predictions.logits.astype(np.float64)
    with np.errstate(invalid="ignore"):  # nan of a child that diverged
        loss = np.nan_to_num(np.logaddexp(0, signed).sum(1), nan=np.inf)
    return [int(at) for at in wrong[np.argsort(-loss[wrong], kind="stable")][:count]]


def wrong_images(predictions: Predictions, data_path: Path | None, count: int
                 ) -> list[WrongImage]:
    """The most wrong images; `data_path` is None where the data folder is not known."""
    found = []
    for at in most_wrong(predictions, count):
        picture, placeholder = _picture(data_path, predictions.paths[at])
        verdicts = _verdicts(
            predictions.class_names, predictions.logits[at], predictions.labels[at] > 0)
        if len(verdicts) > MOST_VERDICTS:
            verdicts.sort(key=lambda verdict: verdict.outcome == "right")
        found.append(WrongImage(
            predictions.paths[at], tuple(verdicts[:MOST_VERDICTS]),
            len(verdicts[MOST_VERDICTS:]), picture, placeholder))
    return found


def _verdicts(names: tuple[str, ...], logits: np.ndarray, truth: np.ndarray
              ) -> list[Verdict]:
    verdicts = []
    for name, logit, true in zip(names, logits.astype(float), truth):
        predicted = logit >= 0
        if predicted or true:
            outcome = "right" if predicted and true else "missed" if true else "wrongly said"
            verdicts.append(Verdict(name, _sigmoid(logit), outcome))
    return verdicts


def _sigmoid(logit: float) -> float:
    return 0.5 * (1 + math.tanh(logit / 2))


def _picture(data_path: Path | None, name: str) -> tuple[str, str]:
    """Data URI and the reason why there is none; one of them is empty."""
    if data_path is None or not data_path.is_dir():
        return "", "the data set is no longer there"
    path = inside(data_path, name)
    if path is None:
        return "", "not below the data folder"
    if not path.is_file():  # neither a folder nor a pipe
        return "", "no longer there"
    try:
        return _data_uri(path), ""
    except (DataError, OSError):
        return "", "does not decode"


def inside(folder: Path, name: str) -> Path | None:
    """The file `name` of a folder, every link followed; None where that leads out of it."""
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).drive \
            or ".." in parts or "\\" in name or "\0" in name:
        return None
    try:
        root = folder.resolve(strict=True)
        path = root.joinpath(*parts).resolve()
    except (OSError, RuntimeError, ValueError):
        return None
    return path if path.is_relative_to(root) else None


def _data_uri(path: Path) -> str:
    """The centre crop, which is what the child sees, as a small JPEG."""
    pixels = centre_crop(decode(str(path), scaled_size(str(path), SIDE)), SIDE)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")
