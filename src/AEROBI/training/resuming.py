"""Where a run is, and how it comes back there: counters, checkpoints, logs, first weights.

What a run does next is a pure function of three counters, and those are kept with the weights in
every checkpoint. Between two steps the run is at a *consistent point*: counters, weights and log
files agree. A checkpoint is always that of the last consistent point, so that evaluations, which
change nothing, are repeated after a restart.
"""

import dataclasses
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow.compat.v1 as tf

from AEROBI.config import RunConfig
from AEROBI.data.streams import Streams
from AEROBI.data_utils import DataSet
from AEROBI.run.checkpoints import CheckpointError, Checkpoints, finished_checkpoints
from AEROBI.run.restore import child_variables, newest_checkpoint
from AEROBI.run.run_dir import RunDirectory
from AEROBI.run.run_dir_checks import BEST_CHECKPOINT_DIR, CHECKPOINTS
from AEROBI.training.shared_weights import restorer_from_search

log = logging.getLogger(__name__)


@dataclass
class Counters:
    """Where a run is; the only state of the loop besides the weights."""

    child_step: int = 0
    controller_step: int = 0  # updates of the controller
    epochs_done: int = 0  # with their controller phase and evaluation


class BestEpoch(NamedTuple):
    """The evaluation of a final training with the best validation exact match so far."""

    epoch: int  # from 0
    val: float  # exact match, 0..1
    test: float


class Resuming:
    """The counters of a run, its checkpoints and the place in its logs; no session of its own."""

    def __init__(self, config: RunConfig, run_dir: RunDirectory, streams: Streams,
                 data_set: DataSet):
        """Adds to the current graph what restores it; its variables are complete."""
        self.counters = Counters()
        self.best: BestEpoch | None = None
        self.kept: dict[str, list[Any]] = {}  # what a loop remembers besides, as JSON values
        self.position: dict[str, Any] = {}  # of the last consistent point
        self._config, self._run_dir, self._data_set = config, run_dir, data_set
        self._images = [stream.images for stream in (streams.train, streams.val, streams.test)]
        self.checkpoints = Checkpoints(str(run_dir.path / CHECKPOINTS), tf.global_variables())
        if not config.is_search:
            self._best_checkpoint = Checkpoints(
                str(run_dir.path / BEST_CHECKPOINT_DIR), child_variables(), keep=1)
            self._first_weights = restorer_from_search(config.child)
        self._started, self._saved_at, self._save_number = time.monotonic(), time.monotonic(), 0

    def take_up(self, session: tf.Session, position: Mapping[str, Any] | None) -> None:
        """Counters and logs as they were at a position; without one, of a new run.

        Args:
            session: with initial weights, or those of the checkpoint that the position is of.
            position: as a checkpoint keeps it.

        Raises:
            CheckpointError: the data set is not that of the checkpoint.
        """
        if position:
            self._check_same_data(position["images"], position.get("data"))
            self.counters = Counters(**position["counters"])
            self._started -= position["elapsed_secs"]
            self._save_number = position["save_number"] + 1
            self.kept = position.get("kept", {})
            self._run_dir.rewind(position["offsets"])
            log.info("Resuming after %d child steps, %d controller updates, %d epochs",
                     *dataclasses.astuple(self.counters))
            self._take_up_best(position)
        else:
            self._run_dir.start_over()
            self._first_weights_of_a_search(session)
        self._run_dir.start_events(self.counters.child_step)
        self.mark()

    def mark(self) -> None:
        """This is a consistent point: what the next checkpoint says of counters and logs."""
        self.position = {
            "counters": dataclasses.asdict(self.counters), "offsets": self._run_dir.offsets(),
            "elapsed_secs": time.monotonic() - self._started, "save_number": self._save_number,
            "images": self._images, "data": self._data_set.fingerprint,
            "best": self.best and list(self.best),
            "kept": {name: list(values) for name, values in self.kept.items()}}

    @property
    def is_due(self) -> bool:
        """Whether the last checkpoint is --checkpoint_secs old."""
        return time.monotonic() - self._saved_at >= self._config.checkpoint_secs

    def save(self, session: tf.Session) -> None:
        """A checkpoint of the last consistent point; the session has its weights."""
        self.checkpoints.save(session, self._save_number, self.position)
        self._save_number += 1
        self.position["save_number"] = self._save_number
        self._saved_at = time.monotonic()

    def save_best(self, session: tf.Session, best: BestEpoch) -> None:
        """The child alone, beside the checkpoints of the run; replaces the one before."""
        self._best_checkpoint.save(session, self.counters.child_step,
                                   {"epoch": best.epoch, "exact_match": best.val})
        self.best = best

    @property
    def last_checkpoint(self) -> str:
        """Where the newest checkpoint is, or that there is none, for messages."""
        return str(self.checkpoints.newest or "none was due yet")

    @property
    def minutes(self) -> float:
        """Minutes the run has taken, restarts included."""
        return (time.monotonic() - self._started) / 60

    def _take_up_best(self, position: Mapping[str, Any]) -> None:
        """What was best comes from the checkpoint: metrics.jsonl is a record that may be lost."""
        if position.get("best") is None:
            return
        self.best = BestEpoch(*position["best"])
        if not finished_checkpoints(self._run_dir.path / BEST_CHECKPOINT_DIR):
            log.warning("%s: is missing, and with it the weights of epoch %d, the best so far; "
                        "they are written again only when validation becomes better",
                        self._run_dir.path / BEST_CHECKPOINT_DIR, self.best.epoch)

    def _first_weights_of_a_search(self, session: tf.Session) -> None:
        if self._config.init_from:
            prefix = newest_checkpoint(Path(self._config.init_from) / CHECKPOINTS)
            self._first_weights.restore(session, prefix)
            log.info("The first weights are the shared ones of %s", prefix)

    def _check_same_data(self, images: list[int], fingerprint: str | None) -> None:
        """The counters of a checkpoint mean nothing on other data, nor does what was best."""
        if images != self._images:
            raise CheckpointError(
                f"{self._run_dir.path}: the data set had {images} images in train, val and test, "
                f"now {self._images}; restore it, or begin anew with --reset_output_dir")
        if fingerprint is not None and fingerprint != self._data_set.fingerprint:
            raise CheckpointError(
                f"{self._run_dir.path}: {self._data_set.source} holds other images or labels than "
                "those that the run was trained on; restore them, or begin anew with "
                "--reset_output_dir")
