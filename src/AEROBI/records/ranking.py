"""architectures.json: the architectures of a search, scored and in order; no TensorFlow."""

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from AEROBI.architecture import ArchitectureError
from AEROBI.records.front import Costed, marks
from AEROBI.run.regular_files import read_json
from AEROBI.run.whole_files import replace_file
from AEROBI.search_space.spaces import AnyArchitecture, MacroSpace, MicroSpace, Space

FILE = "architectures.json"
BN_MODES = ("recalibrated", "moving", "batch")  # the first is the default
MEASURES = ("exact_match", "mean_average_precision")  # to rank by; likewise
# Of real trainings. The loss is the least noisy of the three where images are few.
TRAINED_MEASURES = (*MEASURES, "loss")
POLICIES = ("controller", "random")  # who draws; likewise
_FORMAT = "AEROBI architectures"


class RankingError(ValueError):
    """A file that is no ranking; the message names it."""


@dataclass(frozen=True)
class Trained:
    """What an architecture came to in trainings of its own (successive halving)."""

    rung: int  # the last one that it was trained in, from 1
    epochs: int  # that it was trained for
    exact_match: float | None  # of its best epoch on validation; None: its training failed
    mean_average_precision: float | None  # of that epoch; None where no image has a label
    curve: tuple[tuple[int, float], ...]  # (epochs trained, validation exact match)
    run_dir: str  # of its training, relative to the folder of the trainings
    loss: float | None = None  # of that epoch; None: of a record that does not say


@dataclass(frozen=True)
class Candidate:
    """One architecture, and what it was worth before any real training."""

    rank: int  # from 1
    architecture: str  # in its written form
    exact_match: float | None  # on the whole validation split; None without a search
    mean_average_precision: float | None  # None where no image has a label
    parameters: int  # of its final child
    multiply_adds: int  # of its final child, for one patch
    times_sampled: int  # by the policy; 0: the most likely one, or added by chance
    most_likely: bool  # the most likely choice of every decision
    trained: Trained | None = None  # None: by the search alone


@dataclass(frozen=True)
class Halving:
    """How the best ones were trained for real (Jamieson and Talwalkar, 2016)."""

    folder: str  # of the trainings
    measure: str  # one of TRAINED_MEASURES, on the validation split
    eta: int  # one of so many goes on from each rung
    rungs: tuple[int, ...]  # epochs after which each rung ends
    num_epochs: int  # of the whole training, which the learning rate follows
    cpu_minutes: float  # of all processes, scoring included
    annealed: bool = False  # each rung is a training of its own, from new weights


@dataclass(frozen=True)
class Ranking:
    """All candidates of a search, best first, and how they were scored.

    Those that were trained for real come first, by the rung they reached and what they were
    worth there; the others follow by what the search tells.
    """

    num_layers: int
    bn: str  # BN statistics that they were scored with; "": of a search without shared weights
    policy: str  # "controller" or "random": who chose them
    images: int  # of the validation split
    architectures: tuple[Candidate, ...]
    ranked_by: str = MEASURES[0]  # of what the search tells
    halving: Halving | None = None
    num_cells: int | None = None  # nodes of a cell; None: whole networks of `num_layers`

    @property
    def judged_by(self) -> str:
        """What the scores before any real training are from, in words."""
        if self.bn:
            return f"the shared weights, with {self.bn} batch normalisation"
        return "the search's own short trainings, by a linear model of them"

    @property
    def space(self) -> Space:
        """What the architectures are chosen from."""
        if self.num_cells is not None:
            return MicroSpace(self.num_cells)
        return MacroSpace(self.num_layers)

    def architecture_of(self, candidate: Candidate) -> AnyArchitecture:
        """The candidate's architecture as a value."""
        return self.space.parse(candidate.architecture)


def to_record(ranking: Ranking) -> dict[str, Any]:
    """JSON values; what trainings alone or cells would tell is left out where there were none."""
    record = dataclasses.asdict(ranking)
    trainings = [(candidate, "trained") for candidate in record["architectures"]]
    for entry, key in [(record, "halving"), (record, "num_cells"), *trainings]:
        if entry[key] is None:
            del entry[key]
    return record


def from_record(record: Mapping[str, Any]) -> Ranking:
    """The ranking whose record `to_record` made.

    Raises:
        ArchitectureError, AttributeError, KeyError, TypeError, ValueError: it is none.
    """
    values = dict(record)
    candidates = tuple(map(_candidate, values.pop("architectures")))
    halving = values.pop("halving", None)
    if halving is not None:
        halving = Halving(**{
            **halving, "rungs": tuple(map(int, halving["rungs"])), "eta": int(halving["eta"]),
            "num_epochs": int(halving["num_epochs"]), "measure": str(halving["measure"]),
            "cpu_minutes": float(halving["cpu_minutes"])})
    ranking = Ranking(architectures=candidates, halving=halving, **values)
    _check(ranking)
    return ranking


def save(path: Path, ranking: Ranking) -> None:
    """Writes the file in one piece, or not at all."""
    record = {"format": _FORMAT, **to_record(ranking)}
    replace_file(path, (json.dumps(record, indent=1, allow_nan=False) + "\n").encode())


def load(path: Path) -> Ranking:
    """Reads the ranking that `save` wrote.

    Raises:
        RankingError: it is damaged, or another kind of file.
        OSError: it cannot be read.
    """
    try:
        record = read_json(path)
        if record.pop("format") != _FORMAT:
            raise ValueError("of another format")
        return from_record(record)
    except (ArchitectureError, AttributeError, KeyError, TypeError, ValueError,
            RecursionError) as error:
        raise RankingError(f"{path}: is no ranking of architectures ({error}); write it with "
                           "aerobi select") from None


def _candidate(record: Mapping[str, Any]) -> Candidate:
    trained = record.get("trained")
    if trained is not None:
        curve = tuple((int(epochs), float(value)) for epochs, value in trained["curve"])
        trained = Trained(**{**trained, "curve": curve, "rung": int(trained["rung"]),
                             "epochs": int(trained["epochs"])})
    return Candidate(**{**record, "trained": trained})


def _check(ranking: Ranking) -> None:
    if not ranking.architectures:
        raise ValueError("it is empty")
    for candidate in ranking.architectures:
        ranking.architecture_of(candidate)


def worth(exact_match: float | None, mean_average_precision: float | None,
          measure: str, loss: float | None = None) -> tuple[float, float]:
    """What is compared: the measure, then another one; what is not known is the least."""
    values = [-1.0 if value is None else value for value in (exact_match, mean_average_precision)]
    if measure == "loss":
        return -math.inf if loss is None else -loss, values[0]
    return (values[0], values[1]) if measure == "exact_match" else (values[1], values[0])


def in_order(ranking: Ranking, measure: str) -> Ranking:
    """Ranked by what the search tells: the measure, the other one, the smaller network."""
    best_first = sorted(ranking.architectures, key=lambda candidate: (
        *(-value for value in worth(candidate.exact_match, candidate.mean_average_precision,
                                    measure)),
        candidate.parameters))
    return dataclasses.replace(ranking, ranked_by=measure, architectures=numbered(best_first))


def numbered(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """The candidates with ranks from 1, in the order they stand in."""
    return tuple(dataclasses.replace(candidate, rank=rank)
                 for rank, candidate in enumerate(candidates, start=1))


def costed(candidates: Sequence[Candidate]) -> list[Costed]:
    """What the front of exact match against cost is drawn from, before real training."""
    return [Costed(candidate.exact_match, candidate.parameters, candidate.multiply_adds)
            for candidate in candidates]


def table(candidates: Sequence[Candidate], among: Sequence[Candidate] | None = None) -> str:
    """Plain text, a line for each candidate.

    Args:
        candidates: that are shown.
        among: whose front is marked, "p" for the one against parameters and "m" for that
            against multiply-adds; those shown themselves unless given.
    """
    among = candidates if among is None else among
    front = dict(zip((candidate.architecture for candidate in among), marks(costed(among))))
    lines = ["rank  exact match  mean AP  parameters  multiply-adds  sampled  front  architecture"]
    for candidate in candidates:
        note = " (most likely)" if candidate.most_likely else ""
        lines.append(
            f"{candidate.rank:4d}  {_number(candidate.exact_match, 11)}"
            f"  {_number(candidate.mean_average_precision)}"
            f"  {candidate.parameters:10,d}  {candidate.multiply_adds:13,d}"
            f"  {candidate.times_sampled:7d}"
            f"  {front[candidate.architecture]:5s}  {candidate.architecture}{note}")
    return "\n".join(lines)


def trained_table(candidates: Sequence[Candidate]) -> str:
    """Plain text, a line for each of those that were trained for real."""
    lines = ["rank  rung  epochs  exact match  mean AP  in the search  parameters  training"
             "      architecture"]
    for candidate in candidates:
        if candidate.trained is not None:
            run = candidate.trained
            lines.append(
                f"{candidate.rank:4d}  {run.rung:4d}  {run.epochs:6d}"
                f"  {_number(run.exact_match, 11)}"
                f"  {_number(run.mean_average_precision)}  {_number(candidate.exact_match, 14)}"
                f"  {candidate.parameters:10,d}  {run.run_dir:12s}  {candidate.architecture}")
    return "\n".join(lines)


def _number(value: float | None, width: int = 7) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.4f}"
