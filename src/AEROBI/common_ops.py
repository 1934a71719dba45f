"""Weights and their first values, the seeds of those, and the LSTM cell."""

import math
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow.compat.v1 as tf


class LstmState(NamedTuple):
    """State of the LSTM: per layer a float32 [B, units] cell `c` and output `h`."""

    c: tuple[tf.Tensor, ...]
    h: tuple[tf.Tensor, ...]


def name_seed(name: str, seed: int) -> list[int]:
    """A seed pair for TensorFlow's stateless random ops, from a name and the run's seed."""
    return [zlib.crc32(name.encode()) & 0x7FFFFFFF, seed]


def variable(name: str, shape: Sequence[int], initial, trainable: bool = True) -> tf.Variable:
    """The variable `name` of the current scope; `initial(shape, full_name)` gives its first value.

    The full name goes into the seed of the initial value, so that it does not depend on the
    order in which a graph is built.
    """
    full_name = f"{tf.get_variable_scope().name}/{name}"
    return tf.get_variable(
        name, shape, tf.float32, lambda *_, **__: initial(shape, full_name),
        trainable=trainable, use_resource=True)


def uncompiled():
    """A scope for operations that draw: XLA draws other numbers from the same seed (`--xla`)."""
    return tf.xla.experimental.jit_scope(compile_ops=False)


def he_normal(seed: int, parts: float = 1.0):
    """Initial values for [..., in, out] weights: normal, cut at two standard deviations.

    The variance is 2 / fan-in before the cut, as in the published code; the weights' own
    deviation is 0.88 times as large. TensorFlow's present initialisers correct for that. `parts`:
    the fan-in is so many times that of the weights, whose product is one of the terms of a sum.
    """
    def initial(shape: Sequence[int], name: str) -> tf.Tensor:
        fan_in = parts * math.prod(shape[:-1])
        with uncompiled():
            return tf.random.stateless_truncated_normal(
                shape, name_seed(name, seed), stddev=(2.0 / fan_in) ** 0.5)
    return initial


def uniform(limit: float, seed: int):
    """Initial values uniform in [-limit, limit)."""
    def initial(shape: Sequence[int], name: str) -> tf.Tensor:
        with uncompiled():
            return tf.random.stateless_uniform(shape, name_seed(name, seed), -limit, limit)
    return initial


def constant(value: float):
    """Initial values that are all the same."""
    return lambda shape, _: tf.constant(value, tf.float32, shape)


def lstm_zero_state(batch: int | tf.Tensor, units: int, layers: int) -> LstmState:
    """A state of zeros, float32 [batch, units] each."""
    zeros = tuple(tf.zeros([batch, units]) for _ in range(layers))
    return LstmState(zeros, zeros)


def stacked_lstm(x: tf.Tensor, state: LstmState, weights: Sequence[tf.Tensor]) -> LstmState:
    """One step of LSTM layers on top of each other, without biases (ENAS, section 2.1).

    Args:
        x: float32 [B, units], the input of the first layer.
        state: what the step before returned.
        weights: per layer float32 [2 * units, 4 * units], columns in the order i, f, o, g.
    """
    cells, outputs = [], []
    for w, c, h in zip(weights, state.c, state.h):
        i, f, o, g = tf.split(tf.matmul(tf.concat([x, h], 1), w), 4, axis=1)
        cell = tf.sigmoid(i) * tf.tanh(g) + tf.sigmoid(f) * c
        x = tf.sigmoid(o) * tf.tanh(cell)
        cells.append(cell)
        outputs.append(x)
    return LstmState(tuple(cells), tuple(outputs))
