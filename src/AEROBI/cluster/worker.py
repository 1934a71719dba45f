"""A worker that is not the chief: does what the variables on the parameter servers say.

It decides nothing and keeps nothing: killed and started again, it looks where the run is and
goes on there.
"""

import math
import time
from collections.abc import Mapping

import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI.cluster.description import Cluster
from AEROBI.cluster.graph import ClusterChild, ClusterGraph, Shared
from AEROBI.cluster.sessions import POLL_SECS, STOPPING_SECS, ClusterError
from AEROBI.cluster.worker_step import SharedState, WorkerStep
from AEROBI.config import RunConfig
from AEROBI.data.input_pipeline import StreamConfig, load_batch
from AEROBI.data.packed_images import PackedSplit
from AEROBI.scoring import metrics
from AEROBI.training import not_finite
from AEROBI.training.stopping import StopRequest


class RejoinError(Exception):
    """The chief has started again, so this worker has to join the run anew."""


class Scorer:
    """What the architectures that the chief wants scored are worth, on reward batches."""

    def __init__(self, config: RunConfig, child: ClusterChild, shared: Shared, split: PackedSplit):
        """Builds what scores on reward batches of `split`, the validation split."""
        self._split, self._graph, self._measure = split, child.graph, config.controller.reward
        self._stream = StreamConfig(
            name="reward", batch_size=config.reward_images, img_size=config.data.img_size,
            seed=config.seed, mode="reward")
        self._samples = shared.samples.read_value()
        self._index, self._until = tf.placeholder(tf.int32, []), tf.placeholder(tf.int64, [])
        self._value = tf.placeholder(tf.float32, [])
        written = shared.scores.scatter_update(tf.IndexedSlices([self._value], [self._index]))
        with tf.control_dependencies([written.op]):
            written = shared.scored_until.scatter_update(
                tf.IndexedSlices([self._until], [self._index]))
        self._written = written.op

    def open(self, session: tf.Session) -> None:
        """Binds the graph to a session; call before the first score."""
        graph = self._graph
        self._logits = session.make_callable(graph.reward.logits, [graph.images, graph.arc])
        self._read = session.make_callable(self._samples)
        self._write = session.make_callable(
            self._written, [self._index, self._until, self._value])

    def score(self, arc: np.ndarray, position: int, measure: str) -> float:
        """What one architecture is worth on the reward batch at a position."""
        images, labels = load_batch(self._split, position, self._stream)
        return metrics.worth(measure, self._logits(images, arc), labels)

    def score_wanted(self, until: int, first: int, stride: int) -> None:
        """Every `stride`-th of the samples that wait, from the first of this worker on."""
        arcs = self._read()
        for i in range(first, len(arcs), stride):
            worth = self.score(arcs[i], until - len(arcs) + i, self._measure)
            self._write(i, until, worth)


class Worker:
    """The loop of a worker: looks where the run is, and trains or scores what is open."""

    def __init__(self, config: RunConfig, cluster: Cluster, graph: ClusterGraph,
                 split: PackedSplit, stop: StopRequest):
        """Adds the reads of the shared state to the current graph; `split` is for validation."""
        self._config, self._cluster, self._child = config, cluster, graph.child
        self._stop, self._stopped_at = stop, None
        self._look = SharedState(graph.shared, graph.child.optimizer)
        self._part = WorkerStep(config, cluster, graph.child, graph.streams.train)
        self._scorer = Scorer(config, graph.child, graph.shared, split)
        self._arcs_value = graph.shared.child_arcs.read_value()
        self.steps = 0  # that it has taken part in

    def run(self, session: tf.Session, generation: int) -> None:
        """Trains and scores until the chief has finished.

        Raises:
            RejoinError: the chief has started again.
            ClusterError: it is silent.
        """
        for part in (self._look, self._part, self._scorer):
            part.open(session)
        self._guard = not_finite.NonFiniteGuard(self._config.on_nan, session, self._child.graph)
        look, self._read_arcs = self._look, session.make_callable(self._arcs_value)
        self._done, self._scored, self._open_until, self._arcs = -1, 0, 0, None
        heartbeat, heard = None, time.monotonic()
        while not self._told_to_leave():
            state = look()
            if state["generation"] != generation:
                raise RejoinError
            if state["finished"]:
                return
            busy = self._train(state) or self._score(state)
            if busy or state["heartbeat"] != heartbeat:
                heartbeat, heard = state["heartbeat"], time.monotonic()
            elif time.monotonic() - heard > self._cluster.timeout_secs:
                raise ClusterError(
                    f"{self._cluster.address('worker', 0)}, the chief, has been silent for "
                    f"{self._cluster.timeout_secs:g} seconds: start it again by the same command")
            if not busy:
                time.sleep(POLL_SECS)

    def _told_to_leave(self) -> bool:
        """Whether a signal came so long ago that a chief that got it too has finished its step."""
        if self._stop.signal_number is None:
            return False
        self._stopped_at = self._stopped_at or time.monotonic()
        return time.monotonic() - self._stopped_at > STOPPING_SECS

    def _train(self, state: Mapping[str, np.ndarray]) -> bool:
        """This worker's part of the current child step, if there is one that it has not done."""
        step = int(state["step"] if self._cluster.sync
                   else state["worker_steps"][self._cluster.index])
        if step >= state["open_until"] or (self._cluster.sync and step <= self._done):
            return False
        if state["open_until"] != self._open_until:
            self._arcs, self._open_until = self._read_arcs(), state["open_until"]
        # In final training there is one for all steps.
        arc = self._arcs[step % self._part.steps_per_epoch % len(self._arcs)]
        loss, _, _, norm = self._part.step(step, arc)
        if not self._cluster.sync and not math.isfinite(loss + norm):  # else the chief looks
            not_finite.check(not_finite.describe_child_step(step + 1, arc, loss, norm), self._guard,
                         "those of the chief")
        self._done = step
        self.steps += 1
        return True

    def _score(self, state: Mapping[str, np.ndarray]) -> bool:
        if state["score_until"] == self._scored:
            return False
        self._scored = int(state["score_until"])
        self._scorer.score_wanted(self._scored, self._cluster.index, len(self._cluster.workers))
        return True
