"""The static graph of one worker: variables on parameter servers, computation here.

Synchronous: `tf.train.SyncReplicasOptimizer` averages the gradients that the workers push. What
the published update does with a gradient, the L2 term, clipping each tensor's and Nesterov
momentum, it does with the average, so that k workers with batches of b images are one worker with
a batch of k * b. Asynchronous: each worker applies its own gradient, computed on weights that the
others have meanwhile changed.
"""

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from AEROBI import train_ops
from AEROBI.cluster.description import Cluster
from AEROBI.config import RunConfig, TrainConfig
from AEROBI.data.packed_images import PackedSplit
from AEROBI.data.streams import Streams, make_streams
from AEROBI.image_ops import BN_RATE, Dropout, dropout, towards_batch
from AEROBI.routing import merge, switch
from AEROBI.run.checkpoints import quiet_tensorflow
from AEROBI.search_space.spaces import space_of
from AEROBI.training.graphs import (
    ChildGraph,
    ChildStep,
    build_child,
    training_mode,
    where_finite,
)

PS_0 = "/job:ps/task:0"
SHARED = "cluster"  # collection of the variables below, which no checkpoint holds
LOGGED = 4  # loss, exact matches, images, gradient norm


class Shared(NamedTuple):
    """Where the run is, on the parameter servers; the chief alone decides, workers look."""

    child_step: tf.Variable  # int64 [], updates (synchronous)
    open_until: tf.Variable  # int64 [], child steps before this one may be made
    worker_steps: tf.Variable  # int64 [k], steps that each worker has computed
    child_arcs: tf.Variable  # int32 [steps per epoch, D], of the epoch; [1, D] in final training
    samples: tf.Variable  # int32 [n, D], architectures to score
    score_until: tf.Variable  # int64 [], their reward batches are the n before this; 0: none yet
    scores: tf.Variable  # float32 [n]
    scored_until: tf.Variable  # int64 [n], the `score_until` for which each was found
    logged: tf.Variable  # float32 [4], of the last update (synchronous)
    heartbeat: tf.Variable  # int64 [], grows as long as the chief is well
    generation: tf.Variable  # int64 [], of the chief; initialised when workers may begin
    finished: tuple[tf.Variable, ...]  # int64 [], one on each parameter server


class ClusterChild(NamedTuple):
    """A child in a cluster, and what is fed besides that of a ChildGraph."""

    graph: ChildGraph
    rows: tf.Tensor  # int32 [2], rows of the whole batch that lie before and after the worker's
    weight: tf.Tensor  # float32 [], of the worker's mean loss in the average
    optimizer: tf.train.SyncReplicasOptimizer | None  # None: asynchronous


class ClusterGraph(NamedTuple):
    """What the graph of a worker has, the chief's too."""

    child: ClusterChild
    shared: Shared
    streams: Streams  # this worker's part of the training batches; all of the others


def build_graph(config: RunConfig, cluster: Cluster,
                splits: Mapping[str, PackedSplit]) -> ClusterGraph:
    """Adds a worker's part of a run to the current graph; call it under `device_of`."""
    streams = make_streams(splits, config, cluster.index, len(cluster.workers))
    steps = streams.train.batches_per_epoch
    shared = shared_variables(cluster, config, steps)
    with quiet_tensorflow():  # it would rather see its newer strategies used
        child = build_cluster_child(config, cluster, shared, (
            streams.train.output_types, streams.train.output_shapes), steps)
    return ClusterGraph(child, shared, streams)


def device_of(cluster: Cluster) -> Callable:
    """What tf.device takes: variables spread over the parameter servers by name, the rest here."""
    return tf.train.replica_device_setter(
        worker_device=f"/job:worker/task:{cluster.index}", cluster=cluster.hosts,
        ps_strategy=lambda op: zlib.crc32(op.name.encode()) % len(cluster.ps))


def shared_variables(cluster: Cluster, config: RunConfig, steps_per_epoch: int) -> Shared:
    """The variables of the loop, in the current graph."""
    decisions = space_of(config.child).decisions
    samples = config.controller.samples_per_update
    arcs = steps_per_epoch if config.is_search else 1
    shapes = {"child_arcs": [arcs, decisions], "samples": [samples, decisions],
              "scores": [samples], "scored_until": [samples], "logged": [LOGGED],
              "worker_steps": [len(cluster.workers)]}
    types = {"child_arcs": tf.int32, "samples": tf.int32, "scores": tf.float32,
             "logged": tf.float32}
    made = {name: _shared(name, shapes.get(name, []), types.get(name, tf.int64))
            for name in Shared._fields if name != "finished"}
    return Shared(**made, finished=tuple(
        finished_variable(task) for task in range(len(cluster.ps))))


def finished_variable(task: int) -> tf.Variable:
    """Not 0 when a parameter server may leave; the only variable that it looks at itself."""
    return _shared(f"finished_{task}", [], tf.int64, f"/job:ps/task:{task}")


def generation_variable() -> tf.Variable:
    """The generation of the chief that runs; not initialised before workers may begin."""
    return _shared("generation", [], tf.int64)


def _shared(name: str, shape: Sequence[int], dtype: tf.DType, device: str = PS_0) -> tf.Variable:
    with tf.device(device):
        return tf.get_variable(
            f"{SHARED}/{name}", shape, dtype, tf.zeros_initializer(), trainable=False,
            collections=[SHARED], use_resource=True)


def initialize_shared(shared: Shared) -> tf.Operation:
    """All of them to zero, but for the generation, for which workers wait."""
    return tf.variables_initializer(
        [v for v in tf.get_collection(SHARED) if v is not shared.generation])


def build_cluster_child(config: RunConfig, cluster: Cluster, shared: Shared,
                        batches: tuple, steps_per_epoch: int) -> ClusterChild:
    """The child of a run as one worker trains it.

    Args:
        config: of the run; its batch size is that of one worker.
        cluster: with this worker's number.
        shared: of the same graph.
        batches: output types and shapes of the streams of batches.
        steps_per_epoch: updates (synchronous) in an epoch.
    """
    rows = tf.placeholder(tf.int32, [2], "rows")
    weight = tf.placeholder(tf.float32, [], "weight")
    # Each worker moves the statistics: k moves in a synchronous step are as far as one is alone.
    rate = 1 - (1 - BN_RATE) ** (1 / len(cluster.workers)) if cluster.sync else BN_RATE
    # Always guarded: a worker may be in the next step before the chief has looked at this one's.
    mode = training_mode(config)._replace(
        moving_change=where_finite(towards_batch(rate)), dropout=dropout_of_rows(rows))
    optimizer = sync_optimizer(config, cluster, shared, steps_per_epoch) if cluster.sync else None

    def update(step: ChildStep) -> train_ops.TrainStep:
        if optimizer is not None:
            return _push(optimizer, step, weight, cluster, shared)
        made = train_ops.child_update(step.objective, step.variables, step.lr, config.train,
                                      step.used)
        with tf.control_dependencies([made.train_op]):
            return made._replace(train_op=_count_step(cluster, shared))

    return ClusterChild(build_child(config, *batches, mode, update), rows, weight, optimizer)


def dropout_of_rows(rows: tf.Tensor) -> Dropout:
    """Dropout of some rows of a larger batch, with the mask that they have there.

    `rows` int32 [2]: how many rows of the larger batch lie before and after them.
    """
    def drop(x: tf.Tensor, share: float, seed: tf.Tensor) -> tf.Tensor:
        whole = dropout(tf.pad(x, tf.stack([rows, [0, 0]])), share, seed)
        return whole[rows[0]:rows[0] + tf.shape(x)[0]]
    return drop


def alive(v: tf.Variable, gradient: tf.Tensor | None, used: tf.Tensor | None) -> tf.Tensor:
    """The gradient, zeros where the loss does not use `v`: an accumulator takes no dead tensor."""
    if gradient is None:
        return tf.zeros(v.shape)
    if used is None:
        return gradient
    zeros_alone, _ = switch(tf.zeros(v.shape), used)
    return merge([zeros_alone, gradient])


class ClippedMomentum(tf.train.MomentumOptimizer):
    """The update of `train_ops.child_update` on averaged gradients, each where its variable is."""

    def __init__(self, lr: tf.Tensor, config: TrainConfig):
        super().__init__(lr, config.momentum, use_nesterov=True)
        self._lr, self._config = lr, config

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        """The last pair is no gradient: the sums for the log, which go into their variable."""
        *pairs, (sums, logged) = grads_and_vars
        step = train_ops.momentum_update(sums[0], pairs, self._lr, self._config)
        recorded = logged.assign(tf.concat([sums[:-1], [step.grad_norm]], 0), read_value=False)
        # The step counts, whether the update was made or not.
        with tf.control_dependencies([step.train_op, recorded]):
            return global_step.assign_add(1, read_value=False)


def sync_optimizer(config: RunConfig, cluster: Cluster, shared: Shared,
                   steps_per_epoch: int) -> tf.train.SyncReplicasOptimizer:
    """The optimiser with the learning rates of all steps in a table: nobody is there to feed it."""
    # By epoch and step: all of them, or the first and the others (the quirk restart_step).
    columns = steps_per_epoch if config.train.lr_per_step else min(2, steps_per_epoch)
    table = [[train_ops.learning_rate(epoch * steps_per_epoch + i, steps_per_epoch, config.train)
              for i in range(columns)] for epoch in range(config.num_epochs + 1)]
    with tf.device(shared.child_step.device):
        step = shared.child_step.read_value()
        epoch = tf.minimum(step // steps_per_epoch, config.num_epochs)
        later = tf.minimum(step % steps_per_epoch, columns - 1)
        lr = tf.gather_nd(tf.constant(table, tf.float32), tf.stack([epoch, later]))
    return tf.train.SyncReplicasOptimizer(
        ClippedMomentum(lr, config.train), cluster.aggregate, len(cluster.workers))


def _push(optimizer: tf.train.SyncReplicasOptimizer, step: ChildStep, weight: tf.Tensor,
          cluster: Cluster, shared: Shared) -> train_ops.TrainStep:
    """Push, then wait for the others; the sums for the log travel with the gradients.

    The norm of the averaged gradient, last of what is logged, is known to the update alone.
    """
    loss, variables = step.loss * weight, step.variables
    pairs = [(alive(v, gradient, step.used.get(v.op.name)), v)
             for v, gradient in zip(variables, tf.gradients(step.objective * weight, variables))]
    sums = tf.stack([loss, *(cluster.aggregate * tf.cast(count, tf.float32)
                             for count in (step.correct, step.size)), 0.0])
    with tf.control_dependencies([gradient for gradient, _ in pairs]):
        counted = _count_step(cluster, shared, shared.child_step + 1)
    with tf.control_dependencies([counted]):
        sums = tf.identity(sums)
    train_op = optimizer.apply_gradients([*pairs, (sums, shared.logged)], shared.child_step)
    return train_ops.TrainStep(train_op, shared.logged[-1])


def _count_step(cluster: Cluster, shared: Shared, steps: tf.Tensor | None = None) -> tf.Operation:
    """This worker has computed `steps`, or one more."""
    own = tf.constant([cluster.index])
    if steps is None:
        return shared.worker_steps.scatter_add(
            tf.IndexedSlices(tf.ones([1], tf.int64), own)).op
    return shared.worker_steps.scatter_update(tf.IndexedSlices(steps[tf.newaxis], own)).op
