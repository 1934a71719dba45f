"""Learning rate schedules, clipping and optimisers (ENAS, sections 2.2 and 3.2)."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from AEROBI.config import ControllerConfig, TrainConfig
from AEROBI.routing import merge, switch


class TrainStep(NamedTuple):
    """An update and what it reports; it is made only where its numbers are finite."""

    train_op: tf.Operation
    grad_norm: tf.Tensor  # float32 [], global norm of the gradient before clipping
    finite: tf.Tensor | None = None  # bool [], whether the update is made
    squares: tf.Tensor | None = None  # float32 [variables], squared norms of the gradients


def learning_rate(step: int, steps_per_epoch: int, config: TrainConfig) -> float:
    """The child's learning rate at a step, constant within an epoch unless `lr_per_step` is set.

    Cosine schedule with warm restarts (Loshchilov and Hutter, 2017, eq. 5) where
    `config.lr_cosine` is set, else an exponential staircase.
    """
    epoch = step // steps_per_epoch
    if not config.lr_cosine:
        return config.lr * config.lr_dec_rate ** (epoch // config.lr_dec_every)
    since_restart, period = epoch, config.lr_T_0
    while since_restart >= period:
        since_restart -= period
        period *= config.lr_T_mul
    if config.lr_per_step:
        since_restart += step % steps_per_epoch / steps_per_epoch
    share = since_restart / period
    first_of_restart = since_restart == 0 and epoch > 0 and step % steps_per_epoch == 0
    if config.restart_step and first_of_restart:
        # The epochs of the period that has ended, over the length of the one that begins.
        share = 1 / config.lr_T_mul
    half_range = (config.lr_max - config.lr_min) / 2
    return config.lr_min + half_range * (1 + math.cos(math.pi * share))


def progress(step: int, steps_per_epoch: int, epochs: int) -> float:
    """Share of all steps of a training that are made with the one at `step`, from 0."""
    return min(1.0, (step + 1) / (steps_per_epoch * epochs))


def child_update(loss: tf.Tensor, variables: Sequence[tf.Variable], lr: tf.Tensor,
               config: TrainConfig, conditions: Mapping[str, tf.Tensor] | None = None) -> TrainStep:
    """Nesterov momentum (Sutskever et al., 2013) on loss + l2 · Σ‖w‖², each gradient clipped.

    Args:
        loss: float32 [], without the L2 term.
        variables: all trainable variables of the child.
        lr: float32 [], the learning rate.
        config: l2, clipping bound, momentum.
        conditions: by variable name, a bool [] that tells whether the loss uses the variable in
            this step. The gradient of one that it does not use is dead (`routing`), and only
            the L2 term acts on it.
    """
    pairs = list(zip(tf.gradients(loss, variables), variables))
    return momentum_update(loss, pairs, lr, config, conditions)


def momentum_update(loss: tf.Tensor, pairs: Sequence[tuple[tf.Tensor | None, tf.Variable]],
                    lr: tf.Tensor, config: TrainConfig,
                    conditions: Mapping[str, tf.Tensor] | None = None) -> TrainStep:
    """The update of `child_update` from gradients of the loss, each where its variable is.

    Arguments as there; `pairs` are (gradient, variable), None where the loss uses it never.
    """
    conditions, variables = conditions or {}, [v for _, v in pairs]
    rate, gradients = tf.constant(2.0 * config.l2_reg), []
    for gradient, v in pairs:
        with tf.device(v.device):
            gradients.append(_with_decay(v, gradient, rate, conditions.get(v.op.name)))
    # One vector of squared norms: the few operations on it serve all variables.
    squares = 2.0 * tf.stack([_half_square(gradient, v)
                              for gradient, v in zip(gradients, variables)])
    applied = gradients
    if not config.no_clipping:
        applied = _clip(gradients, squares, variables, config.grad_bound)
    norm = tf.sqrt(tf.reduce_sum(squares))
    finite = tf.math.is_finite(loss + norm)
    train_op = apply_where_finite(
        lambda rate: tf.train.MomentumOptimizer(rate, config.momentum, use_nesterov=True),
        lr, list(zip(applied, variables)), finite)
    return TrainStep(train_op, norm, finite, squares)


def _with_decay(v: tf.Variable, gradient: tf.Tensor | None, rate: tf.Tensor,
                used: tf.Tensor | None) -> tf.Tensor:
    """Gradient of the objective: the loss's, where the loss uses `v`, plus `rate` times `v`."""
    decay = rate * v
    if gradient is None:
        return decay
    if used is None:
        return decay + gradient
    decay_alone, decay_used = switch(decay, used)
    return merge([decay_alone, decay_used + gradient])


def _half_square(gradient: tf.Tensor, v: tf.Variable) -> tf.Tensor:
    """Half the squared norm of a gradient, float32 []."""
    with tf.device(v.device):
        return tf.nn.l2_loss(gradient)


def _clip(gradients: Sequence[tf.Tensor], squares: tf.Tensor, variables: Sequence[tf.Variable],
          bound: float) -> list[tf.Tensor]:
    """Each gradient scaled to a norm of at most `bound`; `squares` float32 [n], squared norms."""
    scales, clipped = tf.unstack(tf.minimum(1.0, bound * tf.math.rsqrt(squares)),
                                 num=len(gradients)), []
    for gradient, scale, v in zip(gradients, scales, variables):
        with tf.device(v.device):
            clipped.append(gradient * scale)
    return clipped


def controller_update(loss: tf.Tensor, variables: Sequence[tf.Variable], config: ControllerConfig
                      ) -> TrainStep:
    """Adam with β1 = 0, ε = 1e-3, on loss + l2 · Σ‖w‖², no clipping (Kingma and Ba, 2015)."""
    if config.l2_reg:
        loss += 2.0 * config.l2_reg * tf.add_n([tf.nn.l2_loss(v) for v in variables])
    # One layer has no skips, and its loss does not use the attention's variables.
    gradients = tf.gradients(loss, variables,
                             unconnected_gradients=tf.UnconnectedGradients.ZERO)
    # The embedding's gradient comes as slices, one for each use of a row: their norm is not that
    # of the gradient.
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    norm = tf.linalg.global_norm(gradients)
    finite = tf.math.is_finite(loss + norm)
    train_op = apply_where_finite(
        lambda rate: tf.train.AdamOptimizer(rate, beta1=0.0, beta2=0.999, epsilon=1e-3),
        config.lr, list(zip(gradients, variables)), finite)
    return TrainStep(train_op, norm, finite)


def apply_where_finite(optimizer: Callable[[tf.Tensor], tf.train.Optimizer], lr: float | tf.Tensor,
                       pairs: Sequence[tuple[tf.Tensor, tf.Variable]],
                       finite: tf.Tensor) -> tf.Operation:
    """The update where `finite` (bool []) holds; else weights and optimiser stay as they are.

    The learning rate is dead then (`routing`), and with it all that uses it: one switch for
    the whole update. The operation returned runs in both cases.
    """
    _, lr = switch(lr, finite)
    applied = optimizer(lr).apply_gradients(pairs)
    left, made = switch(finite, finite)
    with tf.control_dependencies([applied]):
        made = tf.identity(made)
    return merge([left, made]).op
