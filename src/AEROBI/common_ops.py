"""Weights, the LSTM cell, and the two pieces of data flow that choose at run time.

*Routing.* TensorFlow's `Switch` hands its input to one of two outputs and marks the other one
dead; an operation with a dead input does not run, and passes the mark on; `Merge` returns the
input that is alive. Sending a tensor through a chain of switches therefore runs one of several
sub-graphs and skips the rest, forward and, by the registered gradients of the two operations,
backward as well. Against `tf.cond` and `tf.switch_case` this costs no function graphs, no
nesting, and no zero tensors in place of the gradients of what did not run.
"""

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


def he_normal(seed: int):
    """Initial values for [..., in, out] weights: truncated normal, variance 2 / fan-in."""
    def initial(shape: Sequence[int], name: str) -> tf.Tensor:
        fan_in = 1
        for size in shape[:-1]:
            fan_in *= size
        # 0.8796 is the standard deviation of a normal variable cut at two standard deviations.
        stddev = (2.0 / fan_in) ** 0.5 / 0.87962566
        with uncompiled():
            return tf.random.stateless_truncated_normal(
                shape, name_seed(name, seed), stddev=stddev)
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
    """One step of LSTM layers on top of each other, without biases (SPEC 6).

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


def switch(x: tf.Tensor, condition: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`x` twice, as (alive when false, alive when true); the other one is dead."""
    dead_or_false, dead_or_true = tf.raw_ops.Switch(data=x, pred=condition)
    return dead_or_false, dead_or_true


def merge(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """The only one of `tensors` that is alive; all have the same dtype and rank."""
    merged = tf.raw_ops.Merge(inputs=list(tensors)).output
    merged.set_shape(tensors[0].shape)
    return merged


def run_one_of(x: tf.Tensor, conditions: Sequence[tf.Tensor], branches: Sequence) -> tf.Tensor:
    """`branches[k](x)` for the first k whose condition holds, the last if none of them does.

    Only that branch runs, forward and backward. What a branch alone uses (weights) gets a
    gradient that is dead unless the branch ran: see `train_ops`, which expects that.

    Args:
        x: the input of every branch.
        conditions: bool [] each, one fewer than branches.
        branches: functions from a tensor to a tensor, results alike in dtype and shape.
    """
    outputs = []
    for condition, branch in zip(conditions, branches):
        x, chosen = switch(x, condition)
        outputs.append(_alive_with(chosen, branch))
    outputs.append(_alive_with(x, branches[len(conditions)]))
    return merge(outputs)


def _alive_with(x: tf.Tensor, branch) -> tf.Tensor:
    """`branch(x)`, of which nothing runs where `x` is dead: not even reading its weights.

    Those reads were 300 of the 1,180 operations of an evaluation of seven layers.
    """
    x = tf.identity(x)  # a control dependency is on an operation, and a Switch itself always runs
    with tf.control_dependencies([x]):
        return branch(x)


def add_if(condition: tf.Tensor, total: tf.Tensor, term: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`total + term` if the bool [] `condition` holds, else `total`; and `term` itself again.

    Whoever uses `term` later must use the second result: its gradient then flows back through
    the same switch, and is added up where it is alive, with no zeros for the sums left out.
    """
    total_without, total_with = switch(total, condition)
    term_without, term_with = switch(term, condition)
    return (merge([total_without, total_with + term_with]), merge([term_without, term_with]))
