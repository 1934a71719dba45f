"""What every worker does, the chief too: its part of a child step."""

import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI.cluster.description import Cluster
from AEROBI.cluster.graph import ClusterChild, Shared
from AEROBI.config import RunConfig
from AEROBI.data.input_pipeline import Stream, part_of
from AEROBI.seeds import seed_pair
from AEROBI.train_ops import learning_rate, progress


class WorkerStep:
    """One worker's part of each child step: the gradient of its rows of the batch."""

    def __init__(self, config: RunConfig, cluster: Cluster, child: ClusterChild, stream: Stream):
        """`stream` is this worker's part of the training batches."""
        self._config, self._cluster, self._child = config, cluster, child
        self._stream, self.steps_per_epoch = stream, stream.batches_per_epoch
        self._position: int | None = None  # of the stream; None: not started

    def open(self, session: tf.Session) -> None:
        """Binds the graph to a session; call before the first step."""
        self._session, child = session, self._child
        self._handle = session.run(self._stream.handle)
        graph = child.graph
        self._run = session.make_callable(
            list(graph.training), [graph.stream, graph.arc, graph.lr, graph.seed,
                                   graph.progress, child.rows, child.weight])

    def step(self, step: int, arc: np.ndarray) -> tuple:
        """The worker's part of a step: loss, exact matches, images, gradient norm of its own.

        Synchronous: returns when the update is made, or the gradient came too late for it.
        """
        if self._position != step:
            self._session.run(self._stream.initializer, {self._stream.start: step})
        self._position = step + 1
        workers, worker = len(self._cluster.workers), self._cluster.index
        rows, weight, seed = [0, 0], 1.0, seed_pair(self._config.seed, "dropout", step, worker)
        if self._cluster.sync:
            whole = batch_size(self._stream.images, step % self.steps_per_epoch,
                               self.steps_per_epoch)
            part = part_of(whole, worker, workers)
            rows = [part.start, whole - part.stop]
            weight = workers * (part.stop - part.start) / whole
            seed = seed_pair(self._config.seed, "dropout", step)
        over = progress(step, self.steps_per_epoch, self._config.num_epochs)
        return tuple(self._run(self._handle, arc, self.learning_rate(step), seed, over, rows,
                               weight)[:4])

    def learning_rate(self, step: int) -> float:
        """The learning rate of a child step, from the schedule."""
        return learning_rate(step, self.steps_per_epoch, self._config.train)


def batch_size(images: int, i: int, batches: int) -> int:
    """Images in batch i of an epoch, all workers together (`input_pipeline.batch_indices`)."""
    return (i + 1) * images // batches - i * images // batches


class SharedState:
    """Where the run is, in one call."""

    FIELDS = ("open_until", "worker_steps", "score_until", "heartbeat", "generation", "logged")

    def __init__(self, shared: Shared, optimizer: tf.train.SyncReplicasOptimizer | None):
        """Looking also makes the optimiser's local step the current one, so that a worker's
        next gradient is not taken for a late one."""
        step = shared.child_step.read_value() if optimizer is None else optimizer.local_step_init_op
        self._fetches = {"step": step, "finished": shared.finished[0].read_value(),
                         **{name: getattr(shared, name).read_value() for name in self.FIELDS}}

    def open(self, session: tf.Session) -> None:
        """Binds the graph to a session; call before the first look."""
        self._call = session.make_callable(list(self._fetches.values()))

    def __call__(self) -> dict[str, np.ndarray]:
        """Reads everything at once, by name."""
        return dict(zip(self._fetches, self._call()))
