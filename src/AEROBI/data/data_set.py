"""A data set as a value: names and labels of its images; and what every reader of one checks."""

import os
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Of CODEBRIM (section 3), in its order. Other data sets bring names of their own.
CLASS_NAMES = (
    "Background",
    "Crack",
    "Spallation",
    "Efflorescence",
    "ExposedBars",
    "CorrosionStain",
)
SPLITS = ("train", "val", "test")
IMAGE_TYPES = (".png", ".jpg", ".jpeg")
LONGEST_NAME = 100  # characters of a class name

# Skipping these silently would train on a part of the data; other files are no images.
_OTHER_IMAGE_TYPES = (".bmp", ".gif", ".tif", ".tiff", ".webp", ".jp2", ".ppm")
# Control characters, halves of a character, separators of lines: they would break a log line.
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")


class DataError(ValueError):
    """The data cannot be used; the message names the file and the way out."""


class Split(NamedTuple):
    """One part of a data set, sorted by path relative to the root.

    paths: n absolute file names.
    labels: uint8 [n, classes], 0 or 1, read-only.
    """

    paths: tuple[str, ...]
    labels: np.ndarray


class DataSet(NamedTuple):
    """Names and labels of a data set.

    root: absolute folder that all images lie in, not resolved through links.
    class_names: what the label columns mean.
    splits: SPLITS -> Split.
    label_files: absolute names of the files the labels were read from.
    source: the one file or folder that makes it this data set: its CSV file, or the root.
    fingerprint: of names, labels and contents of the image files; empty until it is packed.
    """

    root: str
    class_names: tuple[str, ...]
    splits: dict[str, Split]
    label_files: tuple[str, ...]
    source: str
    fingerprint: str = ""


def read_only(labels: Sequence | np.ndarray) -> np.ndarray:
    """uint8 array that nobody changes by mistake."""
    array = np.array(labels, dtype=np.uint8)
    array.setflags(write=False)
    return array


def check_inside(root: str, path: str) -> None:
    """DataError if `path` leads out of the data folder, through a link or .., or nowhere."""
    real_root, real_path = os.path.realpath(root), os.path.realpath(path)
    if not real_path.startswith(os.path.join(real_root, "")):
        raise DataError(
            f"{path}: leaves the data folder, by a link or by its name (to {real_path}); "
            f"copy the data into {root}"
        )
    if not os.path.exists(real_path):
        raise DataError(f"{path}: is a broken link (to {real_path}); repair or remove it")


def check_image_type(path: str) -> None:
    """DataError for a kind of image that is not read."""
    extension = os.path.splitext(path)[1].lower()
    if extension in _OTHER_IMAGE_TYPES:
        raise DataError(f"{path}: {extension} images are not read; convert it to PNG")


def has_control_characters(text: str) -> bool:
    """Whether `text` would break a line of a log."""
    return any(unicodedata.category(letter) in _UNPRINTABLE for letter in text)


def check_class_names(names: Sequence[str], where: str) -> None:
    """DataError unless there are class names, all different, each fit for a line of a log."""
    if not names:
        raise DataError(f"{where}: no classes; at least one is needed")
    earlier: set[str] = set()
    for name in names:
        if name in earlier:
            raise DataError(f"{where}: the class name {name!r} is there twice; give each class "
                            "a name of its own")
        if len(name) > LONGEST_NAME:
            raise DataError(f"{where}: the class name {name[:20]!r}... has {len(name)} "
                            f"characters; at most {LONGEST_NAME}")
        if not name or has_control_characters(name):
            raise DataError(f"{where}: the class name {name!r} is empty or holds control "
                            "characters; rename it")
        earlier.add(name)
