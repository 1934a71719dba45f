"""Where the steps of a run are made: the seam between a `Trainer` and one process, or many.

The trainer decides what is next, counts, logs and saves; it asks a `Steps` for the session, for
the child steps of an epoch and for what architectures are worth. `LocalSteps` makes them in this
process; a cluster's chief shares them out (`cluster/chief.SharedSteps`).
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI.config import RunConfig
from AEROBI.data.streams import Streams
from AEROBI.run.checkpoints import Checkpoints
from AEROBI.scoring import metrics
from AEROBI.seeds import seed_pair
from AEROBI.tf_setup import session_config
from AEROBI.train_ops import learning_rate, progress
from AEROBI.training.graphs import ChildGraph
from AEROBI.training.not_finite import NonFiniteGuard
from AEROBI.training.stopping import StopRequest

Position = Mapping[str, Any]  # what a checkpoint says of counters and logs


class StepResult(NamedTuple):
    """A child step that was made, as the log tells of it."""

    number: int  # child steps of the run that are done with it
    arc: np.ndarray  # int32 [D]
    lr: float
    loss: float  # mean over the batch
    correct: int  # exact matches of the batch
    images: int
    grad_norm: float


class Steps(Protocol):
    """Makes child steps and scores architectures; keeps no counters, logs or checkpoints."""

    graph: ChildGraph

    def open(self, checkpoints: Checkpoints) -> tuple[tf.Session, Position | None]:
        """A session on the current graph, which is complete, and where the run is.

        Its weights are those of the last checkpoint, with the position of that one; or initial
        ones, and no position.
        """

    def begin(self, child_step: int) -> None:
        """The run has been taken up after so many child steps: the first step may come."""

    def renew_child(self) -> None:
        """All that steps of the child change gets its first values again.

        Only a search without shared weights asks for it, and that is made in one process.
        """

    def make(self, steps: range, arcs: np.ndarray) -> Iterator[StepResult]:
        """Makes child steps, and gives each once it is made; they lie in one epoch.

        Args:
            steps: of the run, from 0.
            arcs: int32 [steps per epoch, D], architectures of the whole epoch.
        """

    def diagnosis(self, result: StepResult, guard: NonFiniteGuard) -> Mapping[str, np.ndarray]:
        """Values of a step that was not finite, in the order of computation; may be empty."""

    def start_rewards(self, position: int) -> None:
        """The next batch that `score` uses is the one at a position of the reward stream."""

    def score(self, arcs: np.ndarray, measure: str) -> np.ndarray:
        """What architectures int32 [n, D] are worth, each on the next reward batch: float64 [n].

        `measure` is one of `config.REWARDS`.
        """

    def check_stop(self) -> None:
        """Raises Stopped if a signal has come; called at least with every step."""

    def position(self) -> dict[str, Any]:
        """What a checkpoint is to keep of the steps besides the counters, as JSON values."""


class LocalSteps:
    """The steps of a run in one process."""

    def __init__(self, config: RunConfig, graph: ChildGraph, streams: Streams, stop: StopRequest):
        """`graph` and `streams` are of the current graph; adds the initialiser to it."""
        self.graph, self._config, self._streams, self._stop = graph, config, streams, stop
        self._initialize = tf.global_variables_initializer()
        if config.alone_epochs:
            self._initialize_child = tf.variables_initializer(tf.global_variables("child/"))

    def open(self, checkpoints: Checkpoints) -> tuple[tf.Session, Position | None]:
        """See `Steps`."""
        # Every set of fetches is known by now; a graph that grew between runs would be slow.
        tf.get_default_graph().finalize()
        self._session = session = tf.Session(config=session_config(self._config.xla))
        session.run(self._initialize)
        position = checkpoints.restore_latest(session)
        graph, streams = self.graph, self._streams
        self._train_handle, self._reward_handle = session.run(
            [streams.train.handle, streams.reward.handle])
        self._train = session.make_callable(
            list(graph.training),
            [graph.stream, graph.arc, graph.lr, graph.seed, graph.progress])
        self._reward = session.make_callable(list(graph.reward), [graph.stream, graph.arc])
        return session, position

    def begin(self, child_step: int) -> None:
        """See `Steps`."""
        train = self._streams.train
        self._session.run(train.initializer, {train.start: child_step})

    def renew_child(self) -> None:
        """See `Steps`."""
        self._session.run(self._initialize_child)

    def make(self, steps: range, arcs: np.ndarray) -> Iterator[StepResult]:
        """See `Steps`."""
        for step in steps:
            arc = arcs[step % self._streams.train.batches_per_epoch]
            lr, *others = self._fed(step)
            yield StepResult(step + 1, arc, lr,
                             *self._train(self._train_handle, arc, lr, *others)[:4])

    def diagnosis(self, result: StepResult, guard: NonFiniteGuard) -> Mapping[str, np.ndarray]:
        """Looks at the same batch again."""
        step = result.number - 1
        self.begin(step)
        return guard.diagnosis(self._train_handle, result.arc, *self._fed(step))

    def start_rewards(self, position: int) -> None:
        """See `Steps`."""
        rewards = self._streams.reward
        self._session.run(rewards.initializer, {rewards.start: position})

    def score(self, arcs: np.ndarray, measure: str) -> np.ndarray:
        """See `Steps`."""
        worths = []
        for arc in arcs:
            self.check_stop()
            worths.append(metrics.worth(measure, *self._reward(self._reward_handle, arc)))
        return np.array(worths)

    def check_stop(self) -> None:
        """See `Steps`."""
        self._stop.raise_if_made()

    def position(self) -> dict[str, Any]:
        """Nothing: where the streams are follows from the counters."""
        return {}

    def _fed(self, step: int) -> tuple[float, np.ndarray, float]:
        """Learning rate, dropout seed and progress of a step."""
        epoch, epochs = self._streams.train.batches_per_epoch, self._config.training_epochs
        of_training = step % (epochs * epoch)
        return (learning_rate(of_training, epoch, self._config.train),
                seed_pair(self._config.seed, "dropout", step),
                progress(of_training, epoch, epochs))
