"""Predictions as a table for people, as CSV or as JSON lines; to the console or into a file."""

import contextlib
import csv
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, TextIO

import numpy as np

from AEROBI.prediction.photos import shown
from AEROBI.run.whole_files import new_file

DIGITS = 6  # of a probability, in CSV and JSON
WIDEST_COLUMN, NARROWEST_COLUMN = 16, 6


class OutputError(ValueError):
    """An output file that must not be written; the message names it and the way out."""


class Row(NamedTuple):
    """What is said of one photograph.

    Attributes:
        probabilities: float32 [classes].
        boxes: of each class, the window with that probability: left, top, right, bottom in
            pixels of the upright photograph; None without windows.
    """

    path: str
    probabilities: np.ndarray
    boxes: Sequence[tuple[int, int, int, int]] | None = None


class Form(Protocol):
    """One way to write rows: a header, then each row as soon as it is known."""

    def header(self) -> None:
        """Writes what stands before the first row."""

    def row(self, row: Row) -> None:
        """Writes what is said of one photograph."""


class Table:
    """Aligned columns; a star where the probability reaches the threshold; the path is last."""

    def __init__(self, file: TextIO, class_names: Sequence[str], thresholds: np.ndarray):
        """Writes into `file`; `thresholds` are float32 [classes], in the order of the names."""
        self._file, self._thresholds = file, thresholds
        self._names = [_cut(shown(name)) for name in class_names]
        self._widths = [max(len(name), NARROWEST_COLUMN) for name in self._names]

    def header(self) -> None:
        """Writes the line with the names of the classes."""
        names = [f"{name:>{width}}" for name, width in zip(self._names, self._widths)]
        self._file.write("  ".join([*names, "image"]) + "\n")

    def row(self, row: Row) -> None:
        """Two digits, which is more than these numbers are worth."""
        marks = np.where(row.probabilities >= self._thresholds, "*", " ")
        cells = [f"{f'{probability:.2f}{mark}':>{width}}" for probability, mark, width
                 in zip(row.probabilities, marks, self._widths)]
        self._file.write("  ".join([*cells, shown(row.path)]) + "\n")


class Csv:
    """A header, path and classes; then a line a photograph. Texts are in quotes, always."""

    def __init__(self, file: TextIO, class_names: Sequence[str], thresholds: np.ndarray):
        """CSV has no place for marks, so thresholds are not used."""
        del thresholds
        self._names = class_names
        self._writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")

    def header(self) -> None:
        """Writes the line with the names of the columns."""
        self._writer.writerow(["path", *self._names])

    def row(self, row: Row) -> None:
        """The path as it is, even with a newline in it."""
        self._writer.writerow([row.path, *map(_rounded, row.probabilities)])


class JsonLines:
    """An object a line: path, probabilities by class, labels, and the windows' boxes."""

    def __init__(self, file: TextIO, class_names: Sequence[str], thresholds: np.ndarray):
        """Writes into `file`; `thresholds` are float32 [classes], in the order of the names."""
        self._file, self._names, self._thresholds = file, class_names, thresholds

    def header(self) -> None:
        """Writes nothing: every JSON line has its names."""

    def row(self, row: Row) -> None:
        """Bytes of a path that are no UTF-8 become lone surrogates, as os.fsencode wants them."""
        marks = row.probabilities >= self._thresholds
        record = {
            "path": row.path,
            "probabilities": dict(zip(self._names, map(_rounded, row.probabilities))),
            "labels": [name for name, mark in zip(self._names, marks) if mark]}
        if row.boxes is not None:
            record["boxes"] = dict(zip(self._names, row.boxes))
        self._file.write(json.dumps(record) + "\n")


FORMS = {"table": Table, "csv": Csv, "jsonl": JsonLines}


def _rounded(probability: float) -> float:
    return round(float(probability), DIGITS)


def _cut(name: str) -> str:
    return name if len(name) <= WIDEST_COLUMN else name[:WIDEST_COLUMN - 1] + "…"


# --- where to --------------------------------------------------------------------------


@contextlib.contextmanager
def open_output(path: Path | None, force: bool) -> Iterator[TextIO]:
    """The console (None), or a file that is there as a whole after the block, or not at all.

    Raises:
        OutputError: the file is there and is not to be overwritten, or is no file.
        OSError: it cannot be written.
    """
    if path is None:
        if hasattr(sys.stdout, "reconfigure"):  # a path may have any bytes
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")
        yield sys.stdout
        sys.stdout.flush()
        return
    target = Path(os.path.realpath(path))
    _check_target(path, target, force)
    with new_file(target) as content:
        file = io.TextIOWrapper(content, "utf-8", "surrogateescape", newline="")
        yield file
        file.flush()
        file.detach()
        _check_target(path, target, force)  # somebody else's, made meanwhile


def _check_target(path: Path, target: Path, force: bool) -> None:
    if not target.exists():
        return
    if not target.is_file():
        raise OutputError(f"--output {path}: is no file; name one, or leave --output out to "
                          "write to the console")
    if not force:
        raise OutputError(f"--output {path}: is there already; name another file, or overwrite it "
                          "with --force")
