"""The chief of a cluster: makes the steps of a `Trainer` together with all other workers.

The trainer runs the loops of one process, counts, logs and saves. The chief makes its part of a
step, and by the variables on the parameter servers tells the workers theirs. Checkpoints hold the
variables of a run in one process and no others.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI.cluster.description import WORKER, Cluster
from AEROBI.cluster.graph import SHARED, ClusterGraph, initialize_shared
from AEROBI.cluster.sessions import POLL_SECS, ClusterError, opened
from AEROBI.cluster.worker import Scorer
from AEROBI.cluster.worker_step import SharedState, WorkerStep
from AEROBI.config import RunConfig
from AEROBI.data.packed_images import PackedSplit
from AEROBI.run.checkpoints import Checkpoints
from AEROBI.training.not_finite import NonFiniteGuard
from AEROBI.training.steps import Position, StepResult
from AEROBI.training.stopping import StopRequest
from AEROBI.training.trainer import Trainer

HEARTBEAT_SECS = 1.0
PATIENCE_SECS = 1.0  # beyond the time of its own scoring: then the chief scores what is missing


class SharedSteps:
    """The steps of a run, see `training.steps.Steps`; as a context it closes its sessions."""

    def __init__(self, config: RunConfig, cluster: Cluster, server: tf.train.Server,
                 graph: ClusterGraph, split: PackedSplit, stop: StopRequest):
        """Adds to the current graph.

        Args:
            config: of the run.
            cluster: of the run.
            server: of this process.
            graph: the current one.
            split: the validation split.
            stop: asks the chief to end.
        """
        self.graph, self._optimizer = graph.child.graph, graph.child.optimizer
        self._config, self._cluster, self._server, self._stop = config, cluster, server, stop
        self._shared, self._sessions = graph.shared, contextlib.ExitStack()
        self._look = SharedState(graph.shared, self._optimizer)
        self._part = WorkerStep(config, cluster, graph.child, graph.streams.train)
        self._scorer = Scorer(config, graph.child, graph.shared, split)
        self._rewards, self._heartbeat_at = 0, 0.0
        self._build_orders()

    def _build_orders(self) -> None:
        """The operations by which the chief tells the workers what to do; they feed values."""
        shared = self._shared
        self._feeds = {v: tf.placeholder(v.dtype, v.shape) for v in (
            shared.child_step, shared.worker_steps, shared.child_arcs, shared.open_until,
            shared.samples, shared.score_until, shared.generation)}
        self._set_steps = tf.group(self._assign(shared.child_step),
                                   self._assign(shared.worker_steps))
        self._open_steps = self._assign(shared.child_arcs, then=shared.open_until)
        self._ask_scores = self._assign(shared.samples, then=shared.score_until)
        self._begin = self._assign(shared.generation)
        self._finish = [v.assign(1, read_value=False) for v in shared.finished]
        self._heartbeat = shared.heartbeat.assign_add(1, read_value=False)
        until = shared.scored_until.read_value()
        with tf.control_dependencies([until]):  # a score is written before what it is for
            self._scores = [until, shared.scores.read_value()]

    def _assign(self, variable: tf.Variable, then: tf.Variable | None = None) -> tf.Operation:
        assigned = variable.assign(self._feeds[variable], read_value=False)
        if then is None:
            return assigned
        with tf.control_dependencies([assigned]):
            return self._assign(then)

    def _order(self, operation: tf.Operation, values: Mapping[tf.Variable, Any]) -> None:
        self._session.run(operation, {self._feeds[v]: value for v, value in values.items()})

    # Start and end.

    def open(self, checkpoints: Checkpoints) -> tuple[tf.Session, Position | None]:
        """Initialises the run, or restores it; no worker may begin yet."""
        position = None

        def restore(_: tf.train.Scaffold, session: tf.Session) -> None:
            """What MonitoredTrainingSession calls once all variables are initialised."""
            nonlocal position
            position = checkpoints.restore_latest(session)
            steps, worker_steps = self._steps_at(position)
            session.run(self._set_steps, {self._feeds[self._shared.child_step]: steps,
                                          self._feeds[self._shared.worker_steps]: worker_steps})

        ready = tf.report_uninitialized_variables(
            [*tf.global_variables(),
             *(v for v in tf.get_collection(SHARED) if v is not self._shared.generation)])
        scaffold = tf.train.Scaffold(
            init_op=tf.group(tf.global_variables_initializer(), initialize_shared(self._shared)),
            init_fn=restore, ready_op=ready, ready_for_local_init_op=ready,
            saver=checkpoints.saver)
        self._session = self._sessions.enter_context(
            opened(self._server, self._cluster, scaffold, self._optimizer))
        for part in (self._look, self._part, self._scorer):
            part.open(self._session)
        return self._session, position

    def _steps_at(self, position: Position | None) -> tuple[int, list[int]]:
        """Child steps of the run and of each worker at a position; none without one."""
        steps = position["counters"]["child_step"] if position else 0
        each, workers = (position or {}).get("worker_steps", []), len(self._cluster.workers)
        return steps, [steps] * workers if self._cluster.sync or len(each) != workers else each

    def begin(self, child_step: int) -> None:
        """From now on workers may begin; where they are to go on they have from `open`."""
        self._order(self._begin, {self._shared.generation: time.time_ns()})

    def __enter__(self) -> "SharedSteps":
        """Enters a context whose end closes the sessions."""
        return self

    def __exit__(self, *error) -> None:
        """Leaves the context, whose end closes the sessions."""
        self._sessions.__exit__(*error)

    def finish(self) -> None:
        """Tells everybody to leave."""
        self._session.run(self._finish)

    def position(self) -> dict[str, Any]:
        """How far each worker is, where asynchronous ones go on."""
        return {"worker_steps": self._look()["worker_steps"].tolist()}

    def check_stop(self) -> None:
        """Raises Stopped if a signal has come; else the workers hear that the chief is well."""
        self._stop.raise_if_made()
        if time.monotonic() - self._heartbeat_at > HEARTBEAT_SECS:
            self._session.run(self._heartbeat)
            self._heartbeat_at = time.monotonic()

    # Child steps.

    def make(self, steps: range, arcs: np.ndarray) -> Iterator[StepResult]:
        """Opens the epoch's steps to all workers, and makes the chief's part of them.

        Raises:
            DeadlineExceededError: of TensorFlow, or here: another worker does not do its part.
        """
        given = arcs if self._config.is_search else arcs[:1]
        self._order(self._open_steps, {self._shared.child_arcs: given,
                                       self._shared.open_until: steps.stop})
        while (step := self._next_step()) < steps.stop:
            yield self._own_part(step, arcs[step % self._part.steps_per_epoch])
        if not self._cluster.sync:
            self._wait_for_all(steps.stop)

    def _next_step(self) -> int:
        """Synchronous: of the run. Asynchronous: of the chief's own part."""
        state = self._look()
        return int(state["step"] if self._cluster.sync else state["worker_steps"][0])

    def _own_part(self, step: int, arc: np.ndarray) -> StepResult:
        loss, correct, images, grad_norm = self._part.step(step, arc)
        number = step + 1
        if self._cluster.sync:
            state = self._wait_for_update(step)
            number = int(state["step"])
            loss, correct, images, grad_norm = state["logged"].tolist()
        return StepResult(number, arc, self._part.learning_rate(number - 1), loss, round(correct),
                          round(images), grad_norm)

    def _wait_for_update(self, step: int) -> Mapping[str, np.ndarray]:
        """Where the run is, once a step is made.

        Mostly it is when the chief's part returns. But a worker that was killed has not taken its
        token of the step before: the chief then takes two, and without this wait it would push a
        second gradient for the step, and so make steps alone, each from its own part twice.
        """
        since = time.monotonic()
        while (state := self._look())["step"] <= step:
            if time.monotonic() - since > self._cluster.timeout_secs:
                raise tf.errors.DeadlineExceededError(None, None, "a step is not made")
            self.check_stop()
            time.sleep(POLL_SECS)
        return state

    def _wait_for_all(self, end: int) -> None:
        """Until every worker has shown all of its images of the epoch."""
        before, since = None, time.monotonic()
        while ((steps := self._look()["worker_steps"]) < end).any():
            if before is None or (steps != before).any():
                before, since = steps, time.monotonic()
            elif time.monotonic() - since > self._cluster.timeout_secs:
                raise tf.errors.DeadlineExceededError(None, None, "a worker is behind")
            self.check_stop()
            time.sleep(POLL_SECS)

    def diagnosis(self, result: StepResult, guard: NonFiniteGuard) -> Mapping[str, np.ndarray]:
        """Nothing: no process has the whole batch."""
        return {}

    def name_stragglers(self, trainer: Trainer) -> ClusterError:
        """The error that names who has not computed what another one has; after a checkpoint.

        Args:
            trainer: of these steps, in one of which the time was over.
        """
        step, behind = trainer.counters.child_step + 1, []
        with contextlib.suppress(tf.errors.DeadlineExceededError):
            done = self._look()["worker_steps"]
            trainer.save()
            step, behind = done.max(), np.flatnonzero(done < done.max())
        who = ", ".join(self._cluster.address(WORKER, int(i)) for i in behind)
        return ClusterError(
            f"no answer for {self._cluster.timeout_secs:g} seconds in child step {step} from "
            f"{who or 'the parameter servers'}: end it where it hangs and start it again, then "
            "the chief; both by the same command")

    # Scores.

    def start_rewards(self, position: int) -> None:
        """The next batch that `score` uses is the one at a position of the reward stream."""
        self._rewards = position

    def score(self, arcs: np.ndarray, measure: str) -> np.ndarray:
        """What architectures int32 [n, D] are worth by a measure: float64 [n]; workers share it."""
        count, workers = len(arcs), len(self._cluster.workers)
        self._rewards += count
        if (workers == 1 or count != self._shared.samples.shape[0]
                or measure != self._config.controller.reward):
            return self._score_here(arcs, measure)
        self._order(self._ask_scores, {self._shared.samples: arcs,
                                       self._shared.score_until: self._rewards})
        started, here = time.monotonic(), np.arange(count) % workers == 0
        own = self._score_here(arcs, measure, here)
        deadline = 2 * time.monotonic() - started + PATIENCE_SECS
        while True:
            scored_until, scores = self._session.run(self._scores)
            missing = ~here & (scored_until != self._rewards)
            if not missing.any() or time.monotonic() > deadline:
                break  # whoever is missing may be started again any time
            self.check_stop()
        return np.where(here, own, np.where(missing, self._score_here(arcs, measure, missing),
                                            scores.astype(np.float64)))

    def _score_here(self, arcs: np.ndarray, measure: str,
                    which: np.ndarray | None = None) -> np.ndarray:
        """Scores on the last reward batches that were counted; zero but `which`, bool [n]."""
        scores, first = np.zeros(len(arcs)), self._rewards - len(arcs)
        for i in range(len(arcs)) if which is None else np.flatnonzero(which).tolist():
            self.check_stop()
            scores[i] = self._scorer.score(arcs[i], first + i, measure)
        return scores
