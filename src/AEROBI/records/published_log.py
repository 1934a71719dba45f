"""The log format of the published implementation, written and read.

Nothing else knows the format. The writing half are functions from values to lines, the reading
half is `parse`, which takes logs of this package and of the published implementation alike.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from AEROBI.records.shown_text import shown_texts
from AEROBI.search_space.spaces import Space

# Fields by keyword, as in ChildRecord; a missing one is a KeyError.
child_line = (
    "epoch={epoch:<6d}ch_step={step:<6d} loss={loss:<8.6f} lr={lr:<8.4f} |g|={grad_norm:<8.4f} "
    "tr_acc={correct:<3d}/{batch_size:>3d} mins={minutes:<10.2f}").format
controller_line = (
    "ctrl_step={step:<6d} loss={loss:<7.3f} ent={entropy:<5.2f} lr={lr:<6.4f} "
    "|g|={grad_norm:<8.4f} acc={exact_match:<6.4f} bl={baseline:<5.2f} mins={minutes:<.2f}"
).format


def controller_header(epoch: int) -> str:
    """Before the controller phase at the end of an epoch."""
    return f"Epoch {epoch}: Training controller"


def architectures_header(count: int) -> str:
    """Before the architectures that are printed after a controller phase."""
    return f"Here are {count} architectures"


def architecture_lines(rows: Iterable[Sequence[int]], exact_match: float) -> list[str]:
    """One printed architecture: a line for each layer or cell, its value, a rule."""
    lines = [f"[{' '.join(map(str, row))}]" for row in rows]
    return [*lines, f"val_acc={exact_match:<6.4f}", "-" * 80]


def evaluation_header(epoch: int) -> str:
    """Before the evaluation at the end of an epoch."""
    return f"Epoch {epoch}: Eval"


def evaluation_step(step: int) -> str:
    """Before the accuracy of each split; `step` counts child steps."""
    return f"Eval at {step}"


def accuracy_line(name: str, exact_match: float) -> str:
    """Exact match of a split; `name` is "valid" or "test"."""
    return f"{name}_accuracy: {exact_match:<6.4f}"


class LogError(ValueError):
    """A log that cannot be read; the message names the line."""


class ChildRecord(NamedTuple):
    """A line about a step of the child."""

    epoch: int
    step: int
    loss: float
    lr: float
    grad_norm: float
    correct: int  # exact matches of the batch
    batch_size: int
    minutes: float


class ControllerRecord(NamedTuple):
    """A line about a sample of the controller."""

    step: int
    loss: float
    entropy: float
    lr: float
    grad_norm: float
    exact_match: float
    baseline: float
    minutes: float


class LoggedArchitecture(NamedTuple):
    """A printed architecture; what the log does not say is None."""

    epoch: int | None
    rows: list[list[int]]  # of each layer, or of each cell
    val_acc: float | None  # exact match of one batch

    @property
    def numbers(self) -> list[int]:
        """Those of the written form."""
        return [number for row in self.rows for number in row]


class LoggedEvaluation(NamedTuple):
    """The accuracies of one evaluation; what the log does not say is None."""

    epoch: int | None
    valid: float | None
    test: float | None


class PublishedLog(NamedTuple):
    """Everything that a log tells, in its order."""

    architectures: list[LoggedArchitecture]
    evaluations: list[LoggedEvaluation]
    child: list[ChildRecord]
    controller: list[ControllerRecord]

    @property
    def valid_accuracies(self) -> np.ndarray:
        """float64 [evaluations with a validation accuracy]."""
        return _known(evaluation.valid for evaluation in self.evaluations)

    @property
    def test_accuracies(self) -> np.ndarray:
        """float64 [evaluations with a test accuracy]."""
        return _known(evaluation.test for evaluation in self.evaluations)

    def best(self) -> LoggedEvaluation | None:
        """The first evaluation with the highest validation accuracy; only those with both."""
        return next(iter(self.all_best()), None)

    def all_best(self) -> list[LoggedEvaluation]:
        """All with the highest validation accuracy; only those with both."""
        both = [evaluation for evaluation in self.evaluations
                if None not in (evaluation.valid, evaluation.test)]
        best = max((evaluation.valid for evaluation in both), default=None)
        return [evaluation for evaluation in both if evaluation.valid == best]


def _known(values: Iterable[float | None]) -> np.ndarray:
    return np.array([value for value in values if value is not None], float)


def parse(lines: Iterable[str], space: Space) -> PublishedLog:
    """Reads a log; lines of another kind, and the torn end of a run still going, are skipped.

    Args:
        lines: with or without their line ends. Colours, progress bars and Windows line ends
            are removed.
        space: of the architectures in the log.

    Raises:
        LogError: an architecture of another size, unless the log ends within it.
    """
    if not space.rows:
        raise LogError(f"{space.size}: an architecture has at least 1")
    reader = _Reader(space)
    for number, line in enumerate(lines, start=1):
        for text in shown_texts(line):
            reader.take(number, text)
    return reader.finish()


_NUMBER = r"\s*(-?\d+\.\d+|-?nan|-?inf)\s*"
_COUNT = r"\s*(\d{1,18})\s*"  # more digits are damage, and Python refuses 5,000
# All decimals are asked for: a torn number must not pass for a smaller one.
_SHARE = r"\s*(\d\.\d{4})"
_MINUTES = r"\s*(\d+\.\d{2})"

_CHILD = re.compile(
    f"epoch={_COUNT}ch_step={_COUNT}loss={_NUMBER}lr={_NUMBER}" r"\|g\|=" f"{_NUMBER}"
    f"tr_acc={_COUNT}/{_COUNT}mins={_MINUTES}")
_CONTROLLER = re.compile(
    f"ctrl_step={_COUNT}loss={_NUMBER}ent={_NUMBER}lr={_NUMBER}" r"\|g\|=" f"{_NUMBER}"
    f"acc={_NUMBER}bl={_NUMBER}mins={_MINUTES}")
_CONTROLLER_HEADER = re.compile(r"Epoch (\d{1,18}): Training controller")
_ARCHITECTURES_HEADER = re.compile(r"Here are \d+ architectures")
_EVALUATION_HEADER = re.compile(r"Epoch (\d{1,18}): Eval")
_EVALUATION_STEP = re.compile(r"Eval at \d+")
_ACCURACY = re.compile(f"(valid|test)_accuracy:{_SHARE}")
_VAL_ACC = re.compile(f"val_acc={_SHARE}")
_MOST_DIGITS = 18  # of a number in an architecture
_LONGEST_ROW = 65_536  # characters of the lines that numpy made of one row
_ROW = re.compile(r"\[\s*\d[\d\s]*\]?")
_ROW_CONTINUED = re.compile(r"\d[\d\s]*\]?|\]")


class _Reader:
    """Collects records from text after text; remembers what is not complete yet."""

    def __init__(self, space: Space):
        self._space = space
        self._log = PublishedLog([], [], [], [])
        self._phase_epoch: int | None = None  # of the last controller header
        self._rows: list[list[int]] = []  # of the architecture being read
        self._row = ""  # the beginning of a row that numpy wrapped
        self._first_line = 0  # of the architecture being read
        self._kinds = (
            (_CHILD, self._child), (_CONTROLLER, self._controller),
            (_CONTROLLER_HEADER, self._controller_phase), (_ARCHITECTURES_HEADER, None),
            (_EVALUATION_HEADER, self._evaluation_header), (_EVALUATION_STEP, None),
            (_ACCURACY, self._accuracy))

    def take(self, number: int, text: str) -> None:
        """The next text; `number` is that of its line."""
        if _ROW.fullmatch(text) or (self._row and _ROW_CONTINUED.fullmatch(text)):
            self._take_row(number, text)
        elif match := _VAL_ACC.fullmatch(text):
            self._end_architecture(number, float(match[1]))
        else:
            self._take_other(number, text)

    def finish(self) -> PublishedLog:
        """All records; an architecture that the log ends within is dropped."""
        if len(self._rows) == len(self._space.rows) and not self._row:
            self._store_architecture(None)
        return self._log

    def _take_other(self, number: int, text: str) -> None:
        for pattern, store in self._kinds:
            if match := pattern.fullmatch(text):
                if self._rows or self._row:
                    self._end_architecture(number, None)
                if store:
                    store(*match.groups())
                return

    def _take_row(self, number: int, text: str) -> None:
        if text.startswith("["):
            if self._row:
                raise LogError(f"line {number}: a row of an architecture begins before the one "
                               "above it ends; remove the torn architecture from the log")
            if len(self._rows) == len(self._space.rows):
                self._store_architecture(None)
            if not self._rows:
                self._first_line = number
        if len(self._row) > _LONGEST_ROW:
            raise LogError(f"line {number}: a row of an architecture does not end; remove the "
                           "damaged architecture from the log")
        self._row += " " + text
        if text.endswith("]"):
            words = self._row.strip(" []").split()
            self._row = ""
            if max(map(len, words)) > _MOST_DIGITS:
                raise LogError(f"line {number}: a number of {max(map(len, words))} digits in an "
                               "architecture; remove the damaged architecture from the log")
            row = [int(word) for word in words]
            self._check_row(number, row)
            self._rows.append(row)

    def _check_row(self, number: int, row: list[int]) -> None:
        (name, expected), count = self._space.rows[len(self._rows)], len(row)
        if count != expected:
            raise LogError(
                f"line {number}: {count} number{'s' * (count != 1)}, but {name} of an "
                f"architecture has {expected}; lines are missing before it, or it is not an "
                f"architecture of {self._space.size}")

    def _end_architecture(self, number: int, val_acc: float | None) -> None:
        if self._row or len(self._rows) != len(self._space.rows):
            where = f", begun in line {self._first_line}," if self._rows or self._row else ""
            rows = f"{self._space.row_noun}s"
            raise LogError(
                f"line {number}: the architecture before it{where} has {len(self._rows)} "
                f"complete {rows} of {len(self._space.rows)}; check the number of {rows}, or "
                "remove the torn architecture from the log")
        self._store_architecture(val_acc)

    def _store_architecture(self, val_acc: float | None) -> None:
        self._log.architectures.append(LoggedArchitecture(self._phase_epoch, self._rows, val_acc))
        self._rows = []

    def _child(self, *words: str) -> None:
        self._log.child.append(_record(ChildRecord, words))

    def _controller(self, *words: str) -> None:
        self._log.controller.append(_record(ControllerRecord, words))

    def _controller_phase(self, epoch: str) -> None:
        self._phase_epoch = int(epoch)

    def _evaluation_header(self, epoch: str) -> None:
        self._log.evaluations.append(LoggedEvaluation(int(epoch), None, None))

    def _accuracy(self, split: str, value: str) -> None:
        evaluations = self._log.evaluations
        if not evaluations or getattr(evaluations[-1], split) is not None:
            evaluations.append(LoggedEvaluation(None, None, None))
        evaluations[-1] = evaluations[-1]._replace(**{split: float(value)})


def _record(kind: type, words: Sequence[str]) -> tuple:
    """A record of a NamedTuple class from the texts of its fields."""
    return kind(*(convert(word) for convert, word in zip(kind.__annotations__.values(), words)))
