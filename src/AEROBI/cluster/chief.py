"""The chief of a cluster: the loops of one process, whose steps all workers share.

It is a `Trainer`, so that search and final training run on it as they are. What differs is where
a step comes from: the chief makes its part, and the variables on the parameter servers tell the
workers theirs. Checkpoints hold the variables of a run in one process and no others.
"""

import logging
import math
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI.cluster.description import WORKER, Cluster
from AEROBI.cluster.graph import SHARED, ClusterChild, Shared, initialize_shared
from AEROBI.cluster.sessions import POLL_SECS, ClusterError, opened
from AEROBI.cluster.worker import Scorer
from AEROBI.cluster.worker_step import SharedState, WorkerStep
from AEROBI.config import RunConfig
from AEROBI.data.packed_images import PackedSplit
from AEROBI.data.streams import Streams
from AEROBI.data_utils import DataSet
from AEROBI.run.run_dir import RunDirectory
from AEROBI.training import not_finite
from AEROBI.training.stopping import StopRequest
from AEROBI.training.trainer import Trainer

log = logging.getLogger(__name__)

HEARTBEAT_SECS = 1.0
PATIENCE = 2.0  # times its own scoring, before the chief scores what a worker did not
LEAST_PATIENCE_SECS = 1.0


class ClusterTrainer(Trainer):
    """The trainer of the chief; use it as a context, which closes its sessions."""

    def __init__(self, config: RunConfig, run_dir: RunDirectory, child: ClusterChild,
                 streams: Streams, data_set: DataSet, stop: StopRequest):
        """Arguments as of Trainer; `join` comes next, and opens the sessions."""
        self._arguments = (config, run_dir, child.graph, streams, data_set, stop)
        self._child = child

    def join(self, server: tf.train.Server, cluster: Cluster, shared: Shared,
             split: PackedSplit) -> None:
        """Initialises the run, or restores it, and opens the sessions.

        Args:
            server: of this process.
            cluster: of the run.
            shared: variables of the current graph.
            split: the validation split.
        """
        config, streams = self._arguments[0], self._arguments[3]
        self._server, self._cluster, self._shared = server, cluster, shared
        self._look = SharedState(shared, self._child.optimizer)
        self._part = WorkerStep(config, cluster, self._child, streams.train)
        self._scorer = Scorer(config, self._child, shared, split)
        self._restored: Mapping[str, Any] | None = None
        self._tag, self._rewards, self._heartbeat_at = 0, 0, 0.0
        self._build_orders()
        super().__init__(*self._arguments)
        for part in (self._look, self._part, self._scorer):
            part.open(self.session)

    def _build_orders(self) -> None:
        """The operations by which the chief tells the workers what to do; they feed values."""
        shared = self._shared
        self._feeds = {v: tf.placeholder(v.dtype, v.shape) for v in (
            shared.child_step, shared.worker_steps, shared.child_arcs, shared.open_until,
            shared.samples, shared.sample_position, shared.sample_tag, shared.generation)}
        self._set_steps = self._assign(shared.child_step, shared.worker_steps)
        self._open_steps = self._assign(shared.child_arcs, then=shared.open_until)
        self._ask_scores = self._assign(
            shared.samples, shared.sample_position, then=shared.sample_tag)
        self._begin = self._assign(shared.generation)
        self._finish = [v.assign(1, read_value=False) for v in shared.finished]
        self._heartbeat = shared.heartbeat.assign_add(1, read_value=False)
        tags = shared.scored_tag.read_value()
        with tf.control_dependencies([tags]):  # a score is written before its tag
            self._scores = [tags, shared.scores.read_value()]

    def _assign(self, *variables: tf.Variable, then: tf.Variable | None = None) -> tf.Operation:
        made = [v.assign(self._feeds[v], read_value=False) for v in variables]
        if then is None:
            return tf.group(*made)
        with tf.control_dependencies(made):
            return then.assign(self._feeds[then], read_value=False)

    def _order(self, operation: tf.Operation, values: Mapping[tf.Variable, Any]) -> None:
        self.session.run(operation, {self._feeds[v]: value for v, value in values.items()})

    # Start and end.

    def _open_session(self) -> tf.Session:
        ready = tf.report_uninitialized_variables(
            [*tf.global_variables(),
             *(v for v in tf.get_collection(SHARED) if v is not self._shared.generation)])
        scaffold = tf.train.Scaffold(
            init_op=tf.group(self._initialize, initialize_shared(self._shared)),
            init_fn=self._restore, ready_op=ready, ready_for_local_init_op=ready,
            saver=self.resuming.checkpoints.saver)
        self._context = opened(self._server, self._cluster, scaffold, self._child.optimizer)
        return self._context.__enter__()

    def _restore(self, _: tf.train.Scaffold, session: tf.Session) -> None:
        """What MonitoredTrainingSession calls once all variables are initialised."""
        self._restored = self.resuming.checkpoints.restore_latest(session)
        steps = self._restored["counters"]["child_step"] if self._restored else 0
        each = (self._restored or {}).get("worker_steps", [])
        if self._cluster.sync or len(each) != len(self._cluster.workers):
            each = [steps] * len(self._cluster.workers)
        session.run(self._set_steps, {self._feeds[self._shared.child_step]: steps,
                                      self._feeds[self._shared.worker_steps]: each})

    def start_or_resume(self) -> None:
        """Takes up what the sessions restored when they opened; from now on workers may begin."""
        self._take_up(self._restored)
        self._order(self._begin, {self._shared.generation: time.time_ns()})

    def __enter__(self) -> "ClusterTrainer":
        """Enters a context whose end closes the sessions."""
        return self

    def __exit__(self, *error) -> None:
        """Leaves the context, whose end closes the sessions."""
        self._context.__exit__(*error)

    def finish(self) -> None:
        """Tells everybody to leave."""
        self.session.run(self._finish)

    def save(self) -> None:
        """A checkpoint of the last consistent point, which also says how far each worker is."""
        self.resuming.position["worker_steps"] = self._look()["worker_steps"].tolist()
        super().save()

    def check_stop(self) -> None:
        """Raises Stopped if a signal has come; else the workers hear that the chief is well."""
        super().check_stop()
        if time.monotonic() - self._heartbeat_at > HEARTBEAT_SECS:
            self.session.run(self._heartbeat)
            self._heartbeat_at = time.monotonic()

    # Child steps.

    def _child_epoch(self, epoch: int, arcs: np.ndarray) -> None:
        """Opens the epoch's steps to all workers, and makes the chief's part of them."""
        end = (epoch + 1) * self.steps_per_epoch
        if not self.config.is_search:
            arcs = arcs[:1]
        self._order(self._open_steps, {self._shared.child_arcs: arcs,
                                       self._shared.open_until: end})
        done = self.counters.child_step - epoch * self.steps_per_epoch
        title = f"epoch {epoch + 1}/{self.config.num_epochs}"
        with self.progress(range(done, self.steps_per_epoch), title, done) as bar:
            while (step := self._next_step()) < end:
                self._own_part(step, arcs[step % self.steps_per_epoch % len(arcs)])
                bar.update(self.counters.child_step - step)
                self.consistent_point()
        self._wait_for_steps(end)
        self.counters.child_step = end

    def _next_step(self) -> int:
        """Synchronous: of the run. Asynchronous: of the chief's own part."""
        state = self._look()
        return int(state["step"] if self._cluster.sync else state["worker_steps"][0])

    def _own_part(self, step: int, arc: np.ndarray) -> None:
        result = self._part.step(step, arc)
        now = step + 1
        if self._cluster.sync:
            state = self._look()
            now = max(now, int(state["step"]))
            loss, correct, size = state["logged"].tolist()
            result = loss, round(correct), round(size), float(state["grad_norm"])
        if not math.isfinite(result[0] + result[3]):
            not_finite.check(not_finite.describe_child_step(now, arc, result[0], result[3]),
                             self.guard, self.resuming.last_checkpoint)
        self.counters.child_step = now
        self._log_child(self._part.learning_rate(now - 1), *result)

    def _wait_for_steps(self, end: int) -> None:
        """Asynchronous: until every worker has shown all of its images of the epoch."""
        before, since = None, time.monotonic()
        while not self._cluster.sync:
            steps = self._look()["worker_steps"]
            if (steps >= end).all():
                return
            if before is None or (steps != before).any():
                before, since = steps, time.monotonic()
            elif time.monotonic() - since > self._cluster.timeout_secs:
                self.name_stragglers(end)
            self.check_stop()
            time.sleep(POLL_SECS)

    def name_stragglers(self, steps: int | None = None) -> None:
        """Names who has not computed so many steps, or the one under way; after a checkpoint.

        Raises:
            ClusterError: always.
        """
        steps = steps or self.counters.child_step + 1
        try:
            behind = np.flatnonzero(self._look()["worker_steps"] < steps)
            self.save()
        except tf.errors.DeadlineExceededError:
            behind = []
        who = ", ".join(self._cluster.address(WORKER, int(i)) for i in behind)
        raise ClusterError(
            f"no answer for {self._cluster.timeout_secs:g} seconds in child step {steps} from "
            f"{who or 'the parameter servers'}: end it where it hangs and start it again, then "
            "the chief; both by the same command")

    # Scores.

    def start_rewards(self, position: int) -> None:
        """The next batch that `score` uses is the one at a position of the reward stream."""
        self._rewards = position

    def score(self, arcs: np.ndarray, measure: str) -> np.ndarray:
        """What architectures int32 [n, D] are worth by a measure: float64 [n]; workers share it."""
        position, self._rewards = self._rewards, self._rewards + len(arcs)
        workers = len(self._cluster.workers)

        def here(i: int) -> float:
            return self._score_here(arcs[i], position + i, measure)

        if (workers == 1 or len(arcs) != self._shared.samples.shape[0]
                or measure != self.config.controller.reward):
            return np.array([here(i) for i in range(len(arcs))])
        self._tag += 1
        self._order(self._ask_scores, {
            self._shared.samples: arcs, self._shared.sample_position: position,
            self._shared.sample_tag: self._tag})
        started = time.monotonic()
        scores = np.full(len(arcs), np.nan)
        for i in range(0, len(arcs), workers):
            scores[i] = here(i)
        patience = max(LEAST_PATIENCE_SECS, PATIENCE * (time.monotonic() - started))
        deadline = time.monotonic() + patience
        while np.isnan(scores).any():
            tags, written = self.session.run(self._scores)
            scores = np.where(np.isnan(scores) & (tags == self._tag), written, scores)
            if time.monotonic() > deadline:  # whoever is missing may be started again any time
                for i in np.flatnonzero(np.isnan(scores)):
                    scores[i] = here(i)
            self.check_stop()
        return scores

    def _score_here(self, arc: np.ndarray, position: int, measure: str) -> float:
        self.check_stop()
        return self._scorer.score(arc, position, measure)
