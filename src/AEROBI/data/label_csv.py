"""A CSV file with a column per class, and the images it names -> data set (see `csv_table`).

Images are named relative to the folder of the file, or to the one below it that the column
`folder` gives. An image is itself by whatever name: listed in two splits, it is an error.
"""

import logging
import os
import stat

from AEROBI.data.csv_table import CsvTable, read_table
from AEROBI.data.data_set import (
    SPLITS,
    DataError,
    DataSet,
    Split,
    check_image_type,
    check_inside,
    has_control_characters,
    read_only,
)

logger = logging.getLogger(__name__)


def read_csv(path: str) -> DataSet:
    """The data set of a CSV file, `path` absolute.

    Raises:
        DataError: whatever makes the data unusable; names the file, line and column.
        OSError: a file that cannot be read.
    """
    root = os.path.dirname(path)
    table = read_table(path)
    rows = _rows_of_splits(table, _find_images(table, root))
    splits = {}
    for split in SPLITS:
        if not rows[split]:
            raise DataError(f"{path}: the split {split} has no images; {', '.join(SPLITS)} "
                            "each need some")
        paths, numbers = zip(*sorted(rows[split]))
        splits[split] = Split(paths, read_only(table.labels[list(numbers)]))
    return DataSet(root, table.class_names, splits, (path,), path)


def _find_images(table: CsvTable, root: str) -> list[tuple[str, str]]:
    """Path and real path of the image of each row."""
    images = _Images(root)
    found = []
    for line, name, folder in zip(table.lines, table.images, table.folders):
        try:
            found.append(images.find(name, folder))
        except DataError as error:
            raise DataError(f"{table.path}: line {line}, column {table.image_column}: "
                            f"{error}") from error
    return found


def _rows_of_splits(table: CsvTable, images: list[tuple[str, str]]
                    ) -> dict[str, list[tuple[str, int]]]:
    """Split -> path and row of each image; an image that is listed again counts once."""
    rows: dict[str, list[tuple[str, int]]] = {split: [] for split in SPLITS}
    first_rows: dict[str, int] = {}
    for row, (path, real_path) in enumerate(images):
        first = first_rows.setdefault(real_path, row)
        if first == row:
            rows[table.splits[row]].append((path, row))
        else:
            _check_same(table, first, row, path)
    again = len(images) - len(first_rows)
    if again:
        logger.warning("%s: %d rows list an image again; each image counts once",
                       table.path, again)
    return rows


def _check_same(table: CsvTable, first: int, row: int, path: str) -> None:
    """DataError unless two rows of an image say the same."""
    where = (f"{table.path}: line {table.lines[row]}, column {table.image_column}: {path} is "
             f"already in line {table.lines[first]}")
    if table.splits[first] != table.splits[row]:
        raise DataError(f"{where}, there for {table.splits[first]}, here for "
                        f"{table.splits[row]}: an image must not be in two splits; remove one")
    differing = [name for name, *flags in zip(
        table.class_names, table.labels[first], table.labels[row]) if flags[0] != flags[1]]
    if differing:
        raise DataError(f"{where} with another {', '.join(differing)}; keep one")


class _Images:
    """Finds images below a folder; where a folder really is, is looked up once."""

    def __init__(self, root: str):
        self._root = root
        self._real_root = os.path.realpath(root)
        self._real_folders: dict[str, str] = {}

    def find(self, name: str, folder: str) -> tuple[str, str]:
        """Path below the root and real path of <root>/<folder>/<name> or <root>/<name>."""
        if not name:
            raise DataError("no file name")
        if has_control_characters(name + folder):
            raise DataError(f"{os.path.join(folder, name)!r} holds control characters; rename "
                            "the file")
        names = [os.path.join(folder, name), name] if folder else [name]
        paths = [os.path.normpath(os.path.join(self._root, below)) for below in names]
        for path in paths:
            real_path = self._real_path(path)
            if real_path is not None:
                check_image_type(path)
                return self._below_root(path, real_path), real_path
        raise DataError(f"no such image file: {' or '.join(dict.fromkeys(paths))}")

    def _real_path(self, path: str) -> str | None:
        """Where the image really is, inside the root; None if there is none."""
        folder, name = os.path.split(path)
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        real_path = os.path.join(self._real_folders[folder], name)
        if not real_path.startswith(os.path.join(self._real_root, "")):
            check_inside(self._root, path)
        try:
            mode = os.lstat(real_path).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return None
        if stat.S_ISLNK(mode):
            check_inside(self._root, path)
            real_path = os.path.realpath(path)
            mode = os.stat(real_path).st_mode
        if not stat.S_ISREG(mode):
            raise DataError(f"{path}: is not a file")
        return real_path

    def _below_root(self, path: str, real_path: str) -> str:
        """`path`, or its real name where it was an absolute one behind another link."""
        if path.startswith(os.path.join(self._root, "")):
            return path
        return os.path.join(self._root, os.path.relpath(real_path, self._real_root))
