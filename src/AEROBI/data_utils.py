"""CODEBRIM on disk -> names and labels: folders, images, XML label files (SPEC section 3).

    <data_path>/{train,val,test}/{background,defects}/<crop>.png
    <data_path>/metadata/{background,defects}.xml

Nothing is decoded here; see `packed_images` for that. Every fault of the data is a
`DataError` that names the file, so that it shows before a long training and not in it.
"""

import logging
import os
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

import defusedxml
import defusedxml.ElementTree
import numpy as np

logger = logging.getLogger(__name__)

CLASS_NAMES = (
    "Background",
    "Crack",
    "Spallation",
    "Efflorescence",
    "ExposedBars",
    "CorrosionStain",
)
SPLITS = ("train", "val", "test")

# A folder of a split and the label file of its crops have the same name.
_FOLDERS = ("background", "defects")
_IMAGE_TYPES = (".png", ".jpg", ".jpeg")
# Skipping these silently would train on a part of the data; other files are no images.
_OTHER_IMAGE_TYPES = (".bmp", ".gif", ".tif", ".tiff", ".webp", ".jp2", ".ppm")
_COPY_MARK = "_-_"


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

    root: absolute folder, not resolved through links.
    class_names: what the label columns mean.
    splits: SPLITS -> Split.
    label_files: absolute names of the files the labels were read from.
    """

    root: str
    class_names: tuple[str, ...]
    splits: dict[str, Split]
    label_files: tuple[str, ...]


class _LabelFile(NamedTuple):
    """flags: crop name (see `_label_key`) -> six times 0 or 1. used: names with an image."""

    path: str
    flags: dict[str, tuple[int, ...]]
    used: set[str]


def read_data_set(data_path: str) -> DataSet:
    """Index of the data set below `data_path` (may start with ~, may end with a slash).

    Raises DataError for whatever makes it unusable. Labels without an image are only
    worth a warning: the balanced release has fewer crops than its label files.
    """
    root = _find_root(data_path)
    try:
        return _read_tree(root)
    except OSError as error:
        raise DataError(
            f"{error.filename or root}: cannot be read ({error.strerror or error}); "
            "check the permissions"
        ) from error


def log_summary(data_set: DataSet) -> None:
    """Log how many images each split has, and how many of them carry each label."""
    widths = [max(len(name), 6) for name in data_set.class_names]
    names = zip(data_set.class_names, widths)
    header = "  ".join(f"{name:>{width}}" for name, width in names)
    logger.info("%-5s  %6s  %s", "split", "images", header)
    for split, (paths, labels) in data_set.splits.items():
        counts = zip(labels.sum(axis=0, dtype=np.int64), widths)
        row = "  ".join(f"{count:>{width}}" for count, width in counts)
        logger.info("%-5s  %6d  %s", split, len(paths), row)


# --- folders ---------------------------------------------------------------------------


def _find_root(data_path: str) -> str:
    """Absolute path of the data folder; DataError if there is none."""
    if not data_path:
        raise DataError(
            "--data_path is empty: give the folder that holds train, val, test and metadata"
        )
    root = os.path.abspath(os.path.expanduser(data_path))
    if os.path.isfile(root):
        raise DataError(f"{root}: is a file, not a folder; unzip it and give its folder")
    if not os.path.isdir(root):
        raise DataError(f"{root}: no such folder; check --data_path")
    return root


def _read_tree(root: str) -> DataSet:
    """Check the folders, read the label files, then find the labels of every image."""
    folders = [(split, folder) for split in SPLITS for folder in _FOLDERS]
    for parts in [*folders, ("metadata",)]:
        _check_folder(root, parts)
    label_files = {folder: _read_label_file(root, folder) for folder in _FOLDERS}
    splits = {split: _read_split(root, split, label_files) for split in SPLITS}
    for label_file in label_files.values():
        unused = len(label_file.flags) - len(label_file.used)
        if unused:
            logger.warning("%s: %d labels without an image", label_file.path, unused)
    paths = tuple(label_file.path for label_file in label_files.values())
    return DataSet(root, CLASS_NAMES, splits, paths)


def _check_folder(root: str, parts: tuple[str, ...]) -> None:
    """DataError unless <root>/<parts> is a folder that really lies below the root."""
    folder = os.path.join(root, *parts)
    if not os.path.isdir(folder):
        found = ", ".join(sorted(os.listdir(root))[:8]) or "nothing"
        raise DataError(
            f"{folder}: no such folder; --data_path must hold "
            f"{{{','.join(SPLITS)}}}/{{{','.join(_FOLDERS)}}} and metadata "
            f"(found in {root}: {found})"
        )
    _check_inside(root, folder)


def _check_inside(root: str, path: str) -> None:
    """DataError if `path` leads out of the data folder through a link, or nowhere."""
    real_root, real_path = os.path.realpath(root), os.path.realpath(path)
    if not real_path.startswith(os.path.join(real_root, "")):
        raise DataError(
            f"{path}: is or lies behind a link that leaves the data folder (to {real_path}); "
            f"copy the data into {root}"
        )
    if not os.path.exists(real_path):
        raise DataError(f"{path}: is a broken link (to {real_path}); repair or remove it")


def _read_split(root: str, split: str, label_files: dict[str, _LabelFile]) -> Split:
    """Images of both folders of a split with their labels, sorted by relative path."""
    paths: list[str] = []
    labels: list[tuple[int, ...]] = []
    for folder, label_file in sorted(label_files.items()):
        found = sorted(_image_names(root, os.path.join(root, split, folder)))
        for name in found:
            paths.append(os.path.join(root, split, folder, name))
            labels.append(_find_label(label_file, paths[-1]))
    if not paths:
        raise DataError(
            f"{os.path.join(root, split)}: the split has no images "
            f"({', '.join(_IMAGE_TYPES)}) in {' or '.join(_FOLDERS)}; unzip the data again"
        )
    array = np.array(labels, dtype=np.uint8)
    array.setflags(write=False)
    return Split(tuple(paths), array)


def _image_names(root: str, folder: str) -> Iterator[str]:
    """File names of the images directly in `folder`; silent about files like Thumbs.db."""
    with os.scandir(folder) as entries:
        for entry in entries:
            # Dot files: .DS_Store, and ._x.png, which macOS writes beside every x.png.
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                _check_inside(root, entry.path)
            if entry.is_dir():
                logger.warning("%s: a folder where images are expected: skipped", entry.path)
                continue
            extension = os.path.splitext(entry.name)[1].lower()
            if extension in _OTHER_IMAGE_TYPES:
                raise DataError(
                    f"{entry.path}: {extension} images are not read; convert it to PNG"
                )
            if extension in _IMAGE_TYPES:
                yield entry.name


# --- label files -----------------------------------------------------------------------


def _label_key(name: str) -> str:
    """A crop's name as label files are searched for it: x.PNG and x.png are one crop."""
    stem, extension = os.path.splitext(name.strip())
    return stem + extension.lower()


def _find_label(label_file: _LabelFile, path: str) -> tuple[int, ...]:
    """Flags of an image; a copy x_-_y.png has those of x.png unless it has its own."""
    stem, extension = os.path.splitext(_label_key(os.path.basename(path)))
    key = stem + extension
    while key not in label_file.flags and _COPY_MARK in stem:
        stem = stem.rpartition(_COPY_MARK)[0]
        key = stem + extension
    if key not in label_file.flags:
        raise DataError(
            f"{path}: no labels in {label_file.path}; "
            "add an entry with this name there, or remove the image"
        )
    label_file.used.add(key)
    return label_file.flags[key]


def _read_label_file(root: str, folder: str) -> _LabelFile:
    """All entries of <root>/metadata/<folder>.xml."""
    path = os.path.join(root, "metadata", folder + ".xml")
    flags: dict[str, tuple[int, ...]] = {}
    by_order = 0
    for number, crop in enumerate(_parse_xml(root, path), start=1):
        name = crop.get("name")
        if not name:
            raise DataError(f"{path}: entry {number} has no name; it must be a file name")
        where = f"{path}: {name}"
        values, named = _read_flags(crop, where)
        by_order += not named
        if flags.setdefault(_label_key(name), values) != values:
            raise DataError(f"{where} is listed twice with different labels; keep one")
    if by_order:
        logger.warning(
            "%s: %d entries without label names: read in the order %s",
            path, by_order, ", ".join(CLASS_NAMES),
        )
    return _LabelFile(path, flags, set())


def _parse_xml(root: str, path: str) -> Element:
    """Root element of a label file. Labels come from the internet: no entity tricks."""
    if not os.path.lexists(path):
        raise DataError(f"{path}: no such label file; copy it from the data set's archive")
    _check_inside(root, path)
    try:
        return defusedxml.ElementTree.parse(path).getroot()
    except defusedxml.DefusedXmlException as error:
        raise DataError(
            f"{path}: declares XML entities, which defusedxml refuses as unsafe ({error}); "
            "a label file needs none: get it from the data set's archive"
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise DataError(
            f"{path}: is not well-formed XML ({error}); repair it or copy it again"
        ) from error


def _read_flags(crop: Element, where: str) -> tuple[tuple[int, ...], bool]:
    """Six flags of an entry, and whether they were found by name rather than by order.

    Names count as missing where none of the six occurs. With some of them there the
    order cannot be trusted either, so that is an error.
    """
    flags = [(_plain_tag(child.tag), child) for child in crop]
    names = [name for name, _ in flags]
    wanted = [name.lower() for name in CLASS_NAMES]
    if len(flags) != len(wanted):
        raise DataError(
            f"{where} has {len(flags)} flags, expected {len(wanted)}: {', '.join(CLASS_NAMES)}"
        )
    missing = [name for name in CLASS_NAMES if name.lower() not in names]
    named = not missing
    if missing and len(missing) < len(wanted):
        raise DataError(
            f"{where} has no flag {', '.join(missing)} but others of "
            f"{', '.join(CLASS_NAMES)}; name all six, or none to give them in this order"
        )
    if named:
        by_name = dict(flags)
        flags = [(name, by_name[name]) for name in wanted]
    return tuple(_read_flag(child, where) for _, child in flags), named


def _plain_tag(tag: str) -> str:
    """Element name without name space and case: `{uri}Crack` -> `crack`."""
    return tag.rpartition("}")[2].lower()


def _read_flag(child: Element, where: str) -> int:
    """0 or 1."""
    text = (child.text or "").strip()
    if text not in ("0", "1"):
        raise DataError(f"{where}: {child.tag} is {text!r}, expected 0 or 1")
    return int(text)
