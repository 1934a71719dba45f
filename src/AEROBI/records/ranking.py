"""architectures.json: the architectures of a search, scored and in order; no TensorFlow."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from AEROBI.architecture import Architecture, ArchitectureError
from AEROBI.run.whole_files import replace_file

FILE = "architectures.json"
BN_MODES = ("recalibrated", "moving", "batch")  # the first is the default
_FORMAT = "AEROBI architectures"


class RankingError(ValueError):
    """A file that is no ranking; the message names it."""


@dataclass(frozen=True)
class Candidate:
    """One architecture, and what it was worth with the shared weights."""

    rank: int  # from 1
    architecture: str  # in its written form
    exact_match: float  # on the whole validation split
    mean_average_precision: float | None  # None where no image has a label
    parameters: int  # of its final child
    multiply_adds: int  # of its final child, for one patch
    times_sampled: int
    most_likely: bool  # the most likely choice of every decision


@dataclass(frozen=True)
class Ranking:
    """All candidates of a search, best first, and how they were scored."""

    num_layers: int
    bn: str  # which BN statistics they were scored with
    policy: str  # "controller" or "random": who chose them
    images: int  # of the validation split
    architectures: tuple[Candidate, ...]


def save(path: Path, ranking: Ranking) -> None:
    """Writes the file in one piece, or not at all."""
    record = {"format": _FORMAT, **dataclasses.asdict(ranking)}
    replace_file(path, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())


def load(path: Path) -> Ranking:
    """The file of `save`.

    Raises:
        RankingError: it is damaged, or another kind of file.
        OSError: it cannot be read.
    """
    try:
        record = json.loads(path.read_bytes())
        if record.pop("format") != _FORMAT:
            raise ValueError("of another format")
        candidates = tuple(Candidate(**one) for one in record.pop("architectures"))
        ranking = Ranking(architectures=candidates, **record)
        _check(ranking)
    except (ArchitectureError, AttributeError, KeyError, TypeError, ValueError,
            RecursionError) as error:
        raise RankingError(f"{path}: is no ranking of architectures ({error}); write it with "
                           "aerobi select") from None
    return ranking


def _check(ranking: Ranking) -> None:
    if not ranking.architectures:
        raise ValueError("it is empty")
    for one in ranking.architectures:
        Architecture.parse(one.architecture, ranking.num_layers)


def table(candidates: Sequence[Candidate]) -> str:
    """Plain text, a line for each candidate."""
    lines = ["rank  exact match  mean AP  parameters  multiply-adds  sampled  architecture"]
    for one in candidates:
        note = " (most likely)" if one.most_likely else ""
        lines.append(
            f"{one.rank:4d}  {one.exact_match:11.4f}  {_number(one.mean_average_precision)}"
            f"  {one.parameters:10,d}  {one.multiply_adds:13,d}  {one.times_sampled:7d}"
            f"  {one.architecture}{note}")
    return "\n".join(lines)


def _number(value: Any) -> str:
    return "      -" if value is None else f"{value:7.4f}"
