"""The static graph of a run: what is fed, and the few fixed sets of fetches."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from AEROBI import general_controller, models, train_ops
from AEROBI.config import SKIP, ChildConfig, ControllerConfig, RunConfig
from AEROBI.general_controller import Reinforce
from AEROBI.image_ops import LayerMode, MovingChange
from AEROBI.search_space.networks import networks_of
from AEROBI.search_space.spaces import space_of

CHANNELS = 3


class TrainingFetches(NamedTuple):
    """Fetches of one step of the child."""

    loss: tf.Tensor  # float32 [], without the L2 term
    correct: tf.Tensor  # int32 [], exact matches of the batch
    size: tf.Tensor  # int32 [], images in the batch
    grad_norm: tf.Tensor  # float32 []
    train_op: tf.Operation


class EvaluationFetches(NamedTuple):
    """What is fetched of one evaluated batch."""

    logits: tf.Tensor  # float32 [N, classes]
    labels: tf.Tensor  # uint8 [N, classes]


class Diagnosis(NamedTuple):
    """Fetches that tell, for a step that was not finite, where it began to be so."""

    logits: tf.Tensor  # float32 [N, classes], in training
    loss: tf.Tensor  # float32 []
    squares: tf.Tensor  # float32 [variables of the child], squared norms of their gradients


class ChildGraph(NamedTuple):
    """A child, search or final, for training and for evaluation, with the same weights."""

    stream: tf.Tensor  # string [], handle of the stream the batch comes from
    images: tf.Tensor  # uint8 [N, S, S, 3], the batch; may be fed instead
    arc: tf.Tensor  # int32 [D]; fed to a search child, of no effect on a final child
    lr: tf.Tensor  # float32 []
    seed: tf.Tensor  # int32 [2], of the dropout
    progress: tf.Tensor  # float32 [], share of the training that is over after the step
    training: TrainingFetches
    evaluation: EvaluationFetches
    reward: EvaluationFetches  # of the batches that the controller's samples are scored on
    diagnosis: Diagnosis | None = None


class ChildStep(NamedTuple):
    """A batch through the child in training, before it changes any weight."""

    loss: tf.Tensor  # float32 [], mean over the batch, without the L2 term
    objective: tf.Tensor  # float32 [], likewise, with what an auxiliary head adds: it is minimised
    correct: tf.Tensor  # int32 [], exact matches of the batch
    size: tf.Tensor  # int32 [], images in the batch
    lr: tf.Tensor  # float32 [], the learning rate that is fed
    variables: list[tf.Variable]  # all trainable ones of the child
    used: dict[str, tf.Tensor]  # by name, bool []: see `search_space.networks`


Update = Callable[[ChildStep], train_ops.TrainStep]


class ControllerGraph(NamedTuple):
    """The controller: drawing architectures, and updating from what they were worth."""

    count: tf.Tensor  # int32 [], how many to draw
    seed: tf.Tensor  # int32 [2]
    drawn: tf.Tensor  # int32 [B, D]
    arcs: tf.Tensor  # int32 [B, D], fed back; B is `samples_per_update`
    worth: tf.Tensor  # float32 [B], of each, see `scoring.metrics.worth`
    reinforce: Reinforce
    entropy: tf.Tensor  # float32 [B]
    skip_count: tf.Tensor  # float32 [B]


def build_child(config: RunConfig, output_types: tuple, output_shapes: tuple,
                mode: LayerMode | None = None, update: Update | None = None) -> ChildGraph:
    """The child of a run: the fixed one where the configuration names an architecture.

    Args:
        config: the run's.
        output_types: of the streams of batches, (images, labels).
        output_shapes: likewise.
        mode: of the layers in training; `training_mode(config)` unless given.
        update: how a step changes the weights; `train_ops.child_update` unless given.
    """
    stream = tf.placeholder(tf.string, [], "stream")
    images, labels = tf.data.Iterator.from_string_handle(
        stream, output_types, output_shapes).get_next()
    arc = tf.placeholder(tf.int32, [space_of(config.child).decisions], "arc")
    lr = tf.placeholder(tf.float32, [], "learning_rate")
    seed = tf.placeholder(tf.int32, [2], "dropout_seed")
    progress = tf.placeholder(tf.float32, [], "progress")
    mode = (mode or training_mode(config))._replace(progress=progress)
    heads = networks_of(config.child).child(images, arc, config.child, mode, seed)
    logits, loss = heads.main, models.cross_entropy(heads.main, labels)
    objective = models.objective(loss, heads, labels)
    correct, size = models.exact_matches(logits, labels), tf.shape(labels)[0]
    variables = tf.trainable_variables("child/")
    used = {}
    if config.is_search:
        used = networks_of(config.child).used_variables(
            [v.op.name for v in variables], arc, config.child)
    if update is None:
        step = train_ops.child_update(objective, variables, lr, config.train, used)
    else:
        step = update(ChildStep(loss, objective, correct, size, lr, variables, used))
    training = TrainingFetches(loss, correct, size, step.grad_norm, step.train_op)
    evaluation = EvaluationFetches(
        child_logits(images, arc, config.child, config.seed, None), labels)
    reward = evaluation
    if config.is_search and config.controller.reward_bn == "batch":
        reward = EvaluationFetches(logits_of_own_statistics(images, arc, config), labels)
    diagnosis = None if step.squares is None else Diagnosis(logits, loss, step.squares)
    return ChildGraph(stream, images, arc, lr, seed, progress, training, evaluation, reward,
                      diagnosis)


def training_mode(config: RunConfig) -> LayerMode:
    """How the layers of a child work in training, as the run is configured."""
    mode = LayerMode(config.child.data_format, True, config.seed, config.child.precision)
    if config.on_nan == SKIP:
        mode = mode._replace(moving_change=where_finite(mode.moving_change))
    return mode


def where_finite(change: MovingChange) -> MovingChange:
    """The same, but that statistics stay where those of the batch are nan or infinite."""
    def finite_change(moving: tf.Variable, batch: tf.Tensor) -> tf.Tensor:
        difference = change(moving, batch)
        return tf.where_v2(tf.math.is_finite(difference), difference, 0.0)
    return finite_change


def logits_of_own_statistics(images: tf.Tensor, arc: tf.Tensor, config: RunConfig) -> tf.Tensor:
    """Logits float32 [N, classes] with BN statistics of these very images; nothing is changed."""
    mode = LayerMode(config.child.data_format, True, config.seed, config.child.precision,
                     moving_change=None)
    return logits_in_mode(images, arc, config.child.without_drops(), mode, None)


def child_parameters() -> int:
    """Trainable parameters of the child in the current graph; of a search, of all operations."""
    return sum(v.shape.num_elements() for v in tf.trainable_variables("child/"))


def child_logits(images: tf.Tensor, arc: tf.Tensor, config: ChildConfig, weight_seed: int,
                 dropout_seed: tf.Tensor | None) -> tf.Tensor:
    """Logits float32 [N, classes], in training where there is a `dropout_seed`."""
    mode = LayerMode(config.data_format, dropout_seed is not None, weight_seed,
                  precision=config.precision)
    return logits_in_mode(images, arc, config, mode, dropout_seed)


def logits_in_mode(images: tf.Tensor, arc: tf.Tensor, config: ChildConfig, mode: LayerMode,
                  dropout_seed: tf.Tensor | None) -> tf.Tensor:
    """Logits float32 [N, classes] of the child that `config` describes."""
    return networks_of(config).child(images, arc, config, mode, dropout_seed).main


def build_controller(config: ControllerConfig, weight_seed: int) -> ControllerGraph:
    """The controller of a search."""
    weights = general_controller.controller_variables(config, weight_seed)
    count = tf.placeholder(tf.int32, [], "sample_count")
    seed = tf.placeholder(tf.int32, [2], "sample_seed")
    sampler = networks_of(config).sampler
    drawn = general_controller.sample(count, seed, config, weights, sampler)
    batch = config.samples_per_update
    arcs = tf.placeholder(tf.int32, [batch, space_of(config).decisions], "sampled_arcs")
    worth = tf.placeholder(tf.float32, [batch], "worth")
    replayed = general_controller.replay(arcs, config, weights, sampler)
    update = general_controller.reinforce(replayed, worth, config, weights)
    return ControllerGraph(count, seed, drawn.arcs, arcs, worth, update,
                           replayed.entropy, replayed.skip_count)
