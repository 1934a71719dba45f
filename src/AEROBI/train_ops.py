"""Learning rate schedules, clipping and optimisers (SPEC 6 and 7)."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from AEROBI.common_ops import merge, switch
from AEROBI.config import ControllerConfig, TrainConfig


class TrainStep(NamedTuple):
    """An update and what it reports."""

    train_op: tf.Operation
    grad_norm: tf.Tensor  # float32 [], global norm of the gradient before clipping


def learning_rate(step: int, steps_per_epoch: int, config: TrainConfig) -> float:
    """The child's learning rate at a step, constant within an epoch (SPEC 7).

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
    middle, half_range = (config.lr_max + config.lr_min) / 2, (config.lr_max - config.lr_min) / 2
    first_of_restart = since_restart == 0 and epoch > 0 and step % steps_per_epoch == 0
    if config.restart_step and first_of_restart:
        return middle
    return config.lr_min + half_range * (1 + math.cos(math.pi * since_restart / period))


def child_step(loss: tf.Tensor, variables: Sequence[tf.Variable], lr: tf.Tensor,
               config: TrainConfig, conditions: Mapping[str, tf.Tensor] | None = None,
               global_step: tf.Variable | None = None) -> TrainStep:
    """Nesterov momentum on loss + l2 · Σ‖w‖², each tensor's gradient clipped (SPEC 7).

    Args:
        loss: float32 [], without the L2 term.
        variables: all trainable variables of the child.
        lr: float32 [], the learning rate.
        config: l2, clipping bound, momentum.
        conditions: by variable name, a bool [] that tells whether the loss uses the variable in
            this step. The gradient of one that it does not use is dead (`common_ops`), and only
            the L2 term acts on it.
        global_step: incremented by the update.
    """
    conditions = conditions or {}
    gradients = [
        _with_decay(v, gradient, config.l2_reg, conditions.get(v.op.name))
        for v, gradient in zip(variables, tf.gradients(loss, variables))]
    # One vector of squared norms: the few operations on it serve all variables.
    squares = tf.stack([2.0 * tf.nn.l2_loss(gradient) for gradient in gradients])
    applied = gradients if config.no_clipping else _clip(gradients, squares, config.grad_bound)
    optimizer = tf.train.MomentumOptimizer(lr, config.momentum, use_nesterov=True)
    train_op = optimizer.apply_gradients(zip(applied, variables), global_step)
    return TrainStep(train_op, tf.sqrt(tf.reduce_sum(squares)))


def _with_decay(v: tf.Variable, gradient: tf.Tensor | None, l2_reg: float,
                used: tf.Tensor | None) -> tf.Tensor:
    """Gradient of the objective: the loss's, where the loss uses `v`, plus that of the L2 term."""
    decay = 2.0 * l2_reg * v
    if gradient is None:
        return decay
    if used is None:
        return decay + gradient
    decay_alone, decay_used = switch(decay, used)
    return merge([decay_alone, decay_used + gradient])


def _clip(gradients: Sequence[tf.Tensor], squares: tf.Tensor, bound: float) -> list[tf.Tensor]:
    """Each gradient scaled to a norm of at most `bound`; `squares` float32 [n], squared norms."""
    scales = tf.unstack(tf.minimum(1.0, bound * tf.math.rsqrt(squares)), num=len(gradients))
    return [gradient * scale for gradient, scale in zip(gradients, scales)]


def controller_step(loss: tf.Tensor, variables: Sequence[tf.Variable], config: ControllerConfig,
                    global_step: tf.Variable | None = None) -> TrainStep:
    """Adam with β1 = 0, ε = 1e-3, on loss + l2 · Σ‖w‖², no clipping (SPEC 6)."""
    if config.l2_reg:
        loss += 2.0 * config.l2_reg * tf.add_n([tf.nn.l2_loss(v) for v in variables])
    # The embedding's gradient comes as slices, one for each use of a row: their norm is not that
    # of the gradient.
    gradients = [tf.convert_to_tensor(gradient) for gradient in tf.gradients(loss, variables)]
    optimizer = tf.train.AdamOptimizer(config.lr, beta1=0.0, beta2=0.999, epsilon=1e-3)
    train_op = optimizer.apply_gradients(zip(gradients, variables), global_step)
    return TrainStep(train_op, tf.linalg.global_norm(gradients))
