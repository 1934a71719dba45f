"""A tree of folders with XML label files -> data set; CODEBRIM's is the default.

    <root>/{train,val,test}/<name>/<crop>.png
    <root>/metadata/<name>.xml          labels of the crops in the folders of this name

for any names; in CODEBRIM they are background and defects.
"""

import logging
import os
from collections.abc import Iterator, Sequence

from AEROBI.data.data_set import (
    IMAGE_TYPES,
    SPLITS,
    DataError,
    DataSet,
    Split,
    check_image_type,
    check_inside,
    read_only,
)
from AEROBI.data.label_xml import LabelFile, find_label, read_label_files

logger = logging.getLogger(__name__)

METADATA = "metadata"
_CODEBRIM_FOLDERS = ("background", "defects")
_LABEL_FILE = ".xml"


def read_tree(root: str) -> DataSet:
    """Check the folders, read the label files, then find the labels of every image.

    Raises:
        DataError: whatever makes the data unusable.
        OSError: a file or folder that cannot be read.
    """
    _check_folder(root, METADATA, _CODEBRIM_FOLDERS)
    folders = _folder_names(root)
    for split in SPLITS:
        for folder in folders:
            _check_folder(root, os.path.join(split, folder), folders)
        _warn_of_others(os.path.join(root, split), folders)
    paths = [os.path.join(root, METADATA, folder + _LABEL_FILE) for folder in folders]
    class_names, label_files = read_label_files(root, paths, folders == _CODEBRIM_FOLDERS)
    by_folder = dict(zip(folders, label_files))
    splits = {split: _read_split(root, split, by_folder) for split in SPLITS}
    for label_file in label_files:
        unused = len(label_file.flags) - len(label_file.used)
        if unused:
            logger.warning("%s: %d labels without an image", label_file.path, unused)
    return DataSet(root, class_names, splits, tuple(paths), root)


def _folder_names(root: str) -> tuple[str, ...]:
    """Names of the label files, sorted, and CODEBRIM's where one of its folders is there."""
    with os.scandir(os.path.join(root, METADATA)) as entries:
        names = {entry.name.removesuffix(_LABEL_FILE) for entry in entries
                 if entry.name.endswith(_LABEL_FILE) and not entry.name.startswith(".")}
    if not names:
        return _CODEBRIM_FOLDERS
    names.update(folder for folder in _CODEBRIM_FOLDERS for split in SPLITS
                 if os.path.isdir(os.path.join(root, split, folder)))
    return tuple(sorted(names))


def _check_folder(root: str, name: str, folders: Sequence[str]) -> None:
    """DataError unless <root>/<name> is a folder that really lies below the root."""
    folder = os.path.join(root, name)
    if not os.path.isdir(folder):
        found = ", ".join(sorted(os.listdir(root))[:8]) or "nothing"
        raise DataError(
            f"{folder}: no such folder; --data_path must hold "
            f"{{{','.join(SPLITS)}}}/{_alternatives(folders)} and {METADATA} with "
            f"{_alternatives(folders)}{_LABEL_FILE}, or one CSV file (found in {root}: {found})"
        )
    check_inside(root, folder)


def _alternatives(names: Sequence[str]) -> str:
    """Several folders in one word, as a shell writes them: {background,defects}."""
    return names[0] if len(names) == 1 else f"{{{','.join(names)}}}"


def _warn_of_others(folder: str, known: Sequence[str]) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir() and entry.name not in known and not entry.name.startswith("."):
                logger.warning("%s: a folder without a label file %s%s: skipped",
                               entry.path, entry.name, _LABEL_FILE)


def _read_split(root: str, split: str, label_files: dict[str, LabelFile]) -> Split:
    """Images of all folders of a split with their labels, sorted by relative path."""
    paths: list[str] = []
    labels: list[tuple[int, ...]] = []
    for folder, label_file in label_files.items():
        found = sorted(_image_names(root, os.path.join(root, split, folder)))
        for name in found:
            paths.append(os.path.join(root, split, folder, name))
            labels.append(find_label(label_file, paths[-1]))
    if not paths:
        raise DataError(
            f"{os.path.join(root, split)}: the split has no images "
            f"({', '.join(IMAGE_TYPES)}) in {' or '.join(label_files)}; unzip the data again"
        )
    return Split(tuple(paths), read_only(labels))


def _image_names(root: str, folder: str) -> Iterator[str]:
    """File names of the images directly in `folder`; silent about files like Thumbs.db."""
    with os.scandir(folder) as entries:
        for entry in entries:
            # Dot files: .DS_Store, and ._x.png, which macOS writes beside every x.png.
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                check_inside(root, entry.path)
            if entry.is_dir():
                logger.warning("%s: a folder where images are expected: skipped", entry.path)
                continue
            check_image_type(entry.path)
            if os.path.splitext(entry.name)[1].lower() in IMAGE_TYPES:
                yield entry.name
