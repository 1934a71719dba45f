"""What a run wrote, read back: one finished, still going or killed, or of the published code.

The JSON lines are read where they exist, else `stdout` in the published format. What cannot be
read becomes a note: the rest of the run is worth reading. No TensorFlow.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from AEROBI.records.ranking import Ranking
from AEROBI.records.run_files import (
    SPLITS,
    Sampled,
    number,
    parse_architecture,
    read_best,
    read_object,
    read_predictions,
    read_ranking,
    read_text,
    records_of_json_lines,
    records_of_log,
)
from AEROBI.records.split_predictions import Predictions
from AEROBI.run import run_dir_checks
from AEROBI.run.file_lock import Lock, lock_file
from AEROBI.run.regular_files import regular
from AEROBI.search_space.spaces import AnyArchitecture

__all__ = ["SPLITS", "RunRecords", "RunRecordsError", "Sampled", "column", "number", "read_run"]

_ENDS = ("Best of ", "Test split, weights of the last epoch")  # what only a finished run says


class RunRecordsError(ValueError):
    """A folder that holds no run; the message names it and the way out."""


@dataclass(frozen=True)
class RunRecords:
    """Everything that the files of a run tell.

    A record is what a line of metrics.jsonl holds; read numbers with `column` and `number`, which
    take whatever stands there.

    Attributes:
        state: "running" (a process writes there), "finished", "stopped", or "unknown".
        best: the string of best_architecture.txt, checked.
        notes: what could not be read, one sentence each.
    """

    path: Path
    state: str
    config: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)
    child: list[dict] = field(default_factory=list)
    controller: list[dict] = field(default_factory=list)
    evaluations: list[dict] = field(default_factory=list)
    sampled: list[Sampled] = field(default_factory=list)
    trained_alone: list[dict] = field(default_factory=list)  # of a search without shared weights
    best: AnyArchitecture | None = None
    best_exact_match: float = math.nan
    ranking: Ranking | None = None
    predictions: dict[str, Predictions] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """ "search", "final" or "" where the files do not tell."""
        if self.config:
            return "search" if self.config.get("child_fixed_arc") is None else "final"
        if self.controller or self.sampled:
            return "search"
        return "final" if self.child or self.evaluations else ""

    @property
    def fixed(self) -> AnyArchitecture | None:
        """The architecture of a final training, where the configuration has one."""
        return parse_architecture(self.config.get("child_fixed_arc"),
                                  self.config.get("search_for"))

    @property
    def epochs_done(self) -> int:
        """Epochs that were completed, as far as the records tell."""
        steps = column(self.evaluations, "step")
        if np.isfinite(steps).any() and self.steps_per_epoch > 0:
            steps = np.concatenate([steps, column(self.child, "step")])
            return int(np.nanmax(steps) // self.steps_per_epoch)
        # A child's record has the number of epochs before it, the others that of theirs, from 0.
        ended = [1 + column(self.evaluations, "epoch"),
                 [1 + sample.epoch for sample in self.sampled]]
        return int(np.nanmax(np.concatenate([*ended, column(self.child, "epoch"), [0]])))

    @property
    def steps_per_epoch(self) -> float:
        """Training batches an epoch; nan as long as nothing tells."""
        steps, epochs = column(self.evaluations, "step"), column(self.evaluations, "epoch")
        known = (epochs >= 0) & (steps > 0)
        if known.any():
            steps, epochs = steps[known], epochs[known]
            if epochs[-1] > epochs[0]:  # whichever number the first one has
                return float((steps[-1] - steps[0]) / (epochs[-1] - epochs[0]))
            return float(steps[-1] / (epochs[-1] + 1))
        steps, epochs = column(self.child, "step"), column(self.child, "epoch")
        known = epochs >= 1  # then epochs = step // steps per epoch
        return float(np.floor((steps[known] / epochs[known]).min())) if known.any() else math.nan

    def of_split(self, split: str) -> list[dict]:
        """The evaluations of "val" or "test", in their order."""
        return [record for record in self.evaluations if record.get("split") == split]

    def best_evaluation(self) -> tuple[int, float, float] | None:
        """(epoch, val, test) of the first best validation exact match; test may be nan."""
        val = self.of_split("val")
        exact = column(val, "exact_match")
        if not np.isfinite(exact).any():
            return None
        at = int(np.nanargmax(exact))
        epoch = val[at].get("epoch")
        test = [number(record.get("exact_match")) for record in self.of_split("test")
                if record.get("epoch") == epoch]
        return int(number(epoch, 0)), float(exact[at]), test[-1] if test else math.nan


def column(records: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    """float64 [records] of one field, nan where it is missing or no number."""
    return np.array([number(record.get(name)) for record in records], float)


def read_run(path: Path) -> RunRecords:
    """Reads the run in a folder.

    Raises:
        RunRecordsError: there is none.
    """
    known = (run_dir_checks.CONFIG, run_dir_checks.METRICS, run_dir_checks.LOG)
    if not path.is_dir() or not any((path / name).is_file() for name in known):
        raise RunRecordsError(
            f"{path}: holds no run (none of {', '.join(known)}); name the --output_dir of a run")
    notes: list[str] = []
    config = read_object(path / run_dir_checks.CONFIG, notes).get("configuration")
    found = {"config": config if isinstance(config, dict) else {},
             "versions": read_object(path / run_dir_checks.VERSIONS, notes)}
    search_for = found["config"].get("search_for")
    log = read_text(path / run_dir_checks.LOG, notes)
    if (path / run_dir_checks.METRICS).is_file():
        found |= records_of_json_lines(path, notes, search_for)
    else:
        found |= records_of_log(log, notes)
    found |= read_best(path, log, notes, search_for)
    found |= {"ranking": read_ranking(path, notes), "predictions": read_predictions(path, notes)}
    records = RunRecords(path, "unknown", **found, notes=tuple(notes))
    return dataclasses.replace(records, state=_state(records, log))


def _state(records: RunRecords, log: str) -> str:
    if _is_locked(records.path / run_dir_checks.LOG):
        return "running"
    after_last_step = log[max(log.rfind("epoch="), log.rfind("ctrl_step="), 0):]
    if any(line.startswith(_ENDS) for line in after_last_step.split("\n")):
        return "finished"
    if not log and records.epochs_done >= number(records.config.get("num_epochs")):
        return "finished"
    # The published implementation locks nothing and says nothing at its end.
    return "stopped" if records.config else "unknown"


def _is_locked(path: Path) -> bool:
    """Whether a run is writing its log; looks without changing the file."""
    try:
        with open(path, "rb", opener=regular) as file:
            return lock_file(file, shared=True) is Lock.BUSY
    except OSError:  # no log, or no right to read
        return False
