"""A CSV file with a column per class -> its cells, checked; nothing is looked up on disk.

    img_path,split_type,Crack,Rust
    images/1.png,train,0,1

It is read line by line: what is kept of a row is its image, its split and a byte for each cell.
"""

import csv
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TextIO

import numpy as np

from AEROBI.data.data_set import (
    SPLITS,
    DataError,
    check_class_names,
    has_control_characters,
    read_only,
)
from AEROBI.run.regular_files import regular

logger = logging.getLogger(__name__)

# The first of these names that is there counts; the building-inspection toolkit (bikit) has the
# first two, `folder` and split_type.
PATH_COLUMNS = ("img_path", "img_name", "image_path", "filename", "file_name", "path", "image")
SPLIT_COLUMNS = ("split_type", "split", "subset")
FOLDER_COLUMN = "folder"
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_SPLIT_NAMES = {**{name: name for name in SPLITS},
                "valid": "val", "validation": "val", "dev": "val"}
_FLAGS = {"0": 0, "0.0": 0, "1": 1, "1.0": 1}
_NO_FLAG = 2
_LONGEST_SHOWN = 80  # characters of a column's name in a message
_LONGEST_LINE = 2 ** 20  # characters, so that a file of another kind does not fill the memory


class CsvTable(NamedTuple):
    """The n rows of a CSV file, column by column.

    path: of the file.
    images, folders, splits: what a row says; a folder is empty where there is none.
    lines: where in the file a row ends, from 1.
    image_column: name of the column that `images` are from.
    class_names: the columns that hold only 0 and 1.
    labels: uint8 [n, classes], 0 or 1, read-only.
    """

    path: str
    images: list[str]
    folders: list[str]
    splits: list[str]
    lines: list[int]
    image_column: str
    class_names: tuple[str, ...]
    labels: np.ndarray


class _Header(NamedTuple):
    """Names of the columns, and which of them are no classes (numbers from 0)."""

    line: int
    delimiter: str
    names: tuple[str, ...]
    image: int | None
    split: int | None
    folder: int | None


def read_table(path: str) -> CsvTable:
    """The rows of a CSV file.

    Separated by comma, semicolon or tab, UTF-8 with or without byte order mark.

    Raises:
        DataError: whatever makes it unusable; names the file, line and column.
        OSError: it cannot be read.
    """
    # A byte that is not UTF-8 becomes half a character, which `_checked_lines` finds.
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline="",
              opener=regular) as file:
        lines = _checked_lines(path, file)
        header = _read_header(path, lines)
        return _read_rows(path, lines, header)


def _checked_lines(path: str, file: TextIO) -> Iterator[str]:
    number = 0
    while line := file.readline(_LONGEST_LINE):
        number += 1
        if len(line) == _LONGEST_LINE:
            raise DataError(f"{path}: line {number} is longer than a CSV file's should be; "
                            "is it another kind of file?")
        if "\0" in line or not _is_text(line):
            raise DataError(f"{path}: line {number} is no text in UTF-8; save the table as "
                            "\"CSV UTF-8\"")
        yield line


def _is_text(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True


# --- header ----------------------------------------------------------------------------


def _read_header(path: str, lines: Iterator[str]) -> _Header:
    """The first line that is not blank, by the delimiter that makes the needed columns of it."""
    number, line = next(((n, text) for n, text in enumerate(lines, 1) if text.strip()), (0, ""))
    if not line:
        raise DataError(f"{path}: is empty; it needs a line with the names of the columns")
    headers = [header for delimiter in _DELIMITERS
               if (header := _split_header(number, line, delimiter))]
    header = max(headers, default=None, key=lambda found: (
        (found.image is not None) + (found.split is not None), len(found.names)))
    if header is None or (len(header.names) == 1 and len(headers) < len(_DELIMITERS)):
        raise DataError(f"{path}: line {number}: the quotes of the column names do not match; "
                        "each name must end in its line")
    for column, names, what in ((header.image, PATH_COLUMNS, "names the image file"),
                                (header.split, SPLIT_COLUMNS, "says train, val or test")):
        if column is None:
            raise DataError(
                f"{path}: line {number}: no column that {what}: call it {' or '.join(names)} "
                f"(found, separated by {_DELIMITERS[header.delimiter]}: "
                f"{_listed(header.names)})")
    for name, count in Counter(filter(None, header.names)).items():
        if count > 1:
            raise DataError(f"{path}: line {number}: the column {name!r} is there twice; give "
                            "each class a name of its own")
    return header


def _split_header(number: int, line: str, delimiter: str) -> _Header | None:
    """None where the quotes do not go with this delimiter."""
    try:
        cells, = csv.reader([line], delimiter=delimiter, strict=True)
    except csv.Error:
        return None
    names = tuple(cell.strip() for cell in cells)
    lowered = [name.lower() for name in names]

    def find(*wanted: str) -> int | None:
        return next((lowered.index(name) for name in wanted if name in lowered), None)

    return _Header(number, delimiter, names, find(*PATH_COLUMNS), find(*SPLIT_COLUMNS),
                   find(FOLDER_COLUMN))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(_shown, names[:12]))
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _shown(name: str) -> str:
    shown = ascii(name) if has_control_characters(name) else name
    return shown if len(shown) <= _LONGEST_SHOWN else shown[:_LONGEST_SHOWN] + "..."


# --- rows ------------------------------------------------------------------------------


def _read_rows(path: str, lines: Iterator[str], header: _Header) -> CsvTable:
    images, folders, splits, numbers = [], [], [], []
    flags = bytearray()
    others: dict[int, str] = {}  # column -> where its first cell that is no flag is, and what
    for number, cells in _cells(path, lines, header):
        codes = [_FLAGS.get(cell, _NO_FLAG) for cell in cells]
        flags += bytes(codes)
        for column, code in enumerate(codes):
            if code == _NO_FLAG and column not in others:
                others[column] = (f"line {number}, column {_name(header, column)}: "
                                  f"{cells[column][:40]!r}")
        images.append(cells[header.image])
        folders.append("" if header.folder is None else cells[header.folder])
        splits.append(_split(path, number, header, cells))
        numbers.append(number)
    if not images:
        raise DataError(f"{path}: has no rows below the names of the columns")
    table = np.frombuffer(flags, np.uint8).reshape(len(images), len(header.names))
    classes = _class_columns(path, header, table, others)
    names = tuple(header.names[column] for column in classes)
    check_class_names(names, f"{path}: line {header.line}")
    return CsvTable(path, images, folders, splits, numbers, header.names[header.image], names,
                 read_only(table[:, classes]))


def _cells(path: str, lines: Iterator[str], header: _Header
           ) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells of each row that is not blank."""
    reader = csv.reader(lines, delimiter=header.delimiter, strict=True)
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{path}: line {header.line + reader.line_num}: {error}; check the "
                            "quotes there and in the lines above") from error
        if cells is None:
            return
        cells, number = [cell.strip() for cell in cells], header.line + reader.line_num
        if not any(cells):
            continue
        if len(cells) != len(header.names):
            raise DataError(f"{path}: line {number}: {len(cells)} cells, but "
                            f"{len(header.names)} columns in line {header.line}")
        yield number, cells


def _split(path: str, number: int, header: _Header, cells: Sequence[str]) -> str:
    cell = cells[header.split]
    split = _SPLIT_NAMES.get(cell.lower())
    if split is None:
        raise DataError(f"{path}: line {number}, column {_name(header, header.split)}: "
                        f"{cell[:40]!r}, expected {' or '.join(_SPLIT_NAMES)}")
    return split


def _class_columns(path: str, header: _Header, table: np.ndarray, others: dict[int, str]
                   ) -> list[int]:
    """Numbers of the columns that hold only flags.

    One that mostly does has a mistake in it, which must not cost the class.
    """
    classes, ignored = [], []
    shares = (table != _NO_FLAG).mean(axis=0)
    for column, name in enumerate(header.names):
        if column in (header.image, header.split, header.folder):
            continue
        if name and column not in others:
            classes.append(column)
        elif name and shares[column] > 0.5:
            raise DataError(f"{path}: {others[column]}, expected 0 or 1; correct it, or remove "
                            "the column if it is no class")
        else:
            ignored.append(column)
    if not classes:
        hint = others[ignored[0]] if ignored and ignored[0] in others else "no other columns"
        raise DataError(f"{path}: no class columns: a class is a column with a name that holds "
                        f"only 0 and 1 ({hint})")
    if ignored:
        logger.info("%s: columns that are no classes, ignored: %s", path,
                    _listed([_name(header, column) for column in ignored]))
    return classes


def _name(header: _Header, column: int) -> str:
    return _shown(header.names[column]) or f"number {column + 1} (no name)"
