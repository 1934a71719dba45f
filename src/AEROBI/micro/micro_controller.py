"""How the controller decides on two cells (ENAS, section 2.4).

One LSTM walks through both, the reduction cell with the state that the normal cell left. For each
node it chooses two inputs by attention over what is before the node, then two operations.
"""

from typing import NamedTuple

import tensorflow.compat.v1 as tf

from AEROBI.common_ops import LstmState, lstm_zero_state, stacked_lstm
from AEROBI.config import ControllerConfig
from AEROBI.general_controller import (
    ControllerVariables,
    Decision,
    Sampler,
    Samples,
    choose,
    squash,
)
from AEROBI.micro.cells import CELL_INPUTS, CELL_NAMES, PER_NODE, flat_length


class _Step(NamedTuple):
    """One decision, and the logits that it was made by."""

    decision: Decision
    logits: tf.Tensor  # float32 [B, n]


def _walk(given: tf.Tensor | None, config: ControllerConfig, w: ControllerVariables) -> Samples:
    """Cell after cell; `given` [B, D] as in `general_controller`: random numbers or decisions."""
    batch = 1 if given is None else given.shape[0] or tf.shape(given)[0]
    state = lstm_zero_state(batch, config.lstm_size, config.lstm_num_layers)
    steps: list[_Step] = []
    for cell in range(len(CELL_NAMES)):
        first = cell * PER_NODE * config.num_cells
        columns = None if given is None else given[:, first:first + PER_NODE * config.num_cells]
        state = _walk_cell(columns, state, config, w, steps)
    return _collect(steps)


MICRO_SAMPLER = Sampler(lambda config: flat_length(config.num_cells), _walk)


def _walk_cell(given: tf.Tensor | None, state: LstmState, config: ControllerConfig,
               w: ControllerVariables, steps: list[_Step]) -> LstmState:
    """The nodes of one cell, in order; adds their decisions in the written order.

    What a chosen input tells the LSTM is its anchor, the output after it was decided; the two
    inputs of the cell have none, so zeros, but attention tells them apart.
    """
    first_input = tf.tile(w.first_input, [tf.shape(state.h[-1])[0], 1])
    anchors, keys = [], []
    for _ in range(CELL_INPUTS):
        state = stacked_lstm(first_input, state, w.lstm)
        anchors.append(tf.zeros_like(state.h[-1]))
        keys.append(tf.matmul(state.h[-1], w.earlier_anchor))
    for node in range(config.num_cells):
        x, inputs, ops = first_input, [], []
        for side in range(2):
            state = stacked_lstm(x, state, w.lstm)
            logits = _input_logits(tf.stack(keys, 1), state.h[-1], config, w)
            inputs.append(_decide(logits, given, PER_NODE * node + 2 * side))
            x = tf.gather(tf.stack(anchors, 1), inputs[-1].decision.choice[:, 0], batch_dims=1)
        for side in range(2):
            state = stacked_lstm(x, state, w.lstm)
            logits = squash(tf.matmul(state.h[-1], w.op_softmax), config, config.op_tanh_reduce)
            ops.append(_decide(logits, given, PER_NODE * node + 2 * side + 1))
            x = tf.gather(w.op_embedding, ops[-1].decision.choice[:, 0])
        state = stacked_lstm(x, state, w.lstm)
        anchors.append(state.h[-1])
        keys.append(tf.matmul(state.h[-1], w.earlier_anchor))
        steps += [step for pair in zip(inputs, ops) for step in pair]
    return state


def _input_logits(keys: tf.Tensor, h: tf.Tensor, config: ControllerConfig,
                  w: ControllerVariables) -> tf.Tensor:
    """Logits float32 [B, i] of the i inputs there are; `keys` float32 [B, i, units].

    Their mean is taken off: it says nothing to a softmax, but where it grows, the squashed logits
    come to be all the same, with no gradient, and no input is learned any more. The published code
    leaves it in.
    """
    query = tf.tanh(keys + tf.matmul(h, w.own_anchor)[:, tf.newaxis])
    q = tf.tensordot(query, w.anchor_score, 1)[..., 0]
    return squash(q - tf.reduce_mean(q, 1, keepdims=True), config)


def _decide(logits: tf.Tensor, given: tf.Tensor | None, column: int) -> _Step:
    given = None if given is None else given[:, column:column + 1]
    return _Step(choose(logits, given), logits)


def _collect(steps: list[_Step]) -> Samples:
    """All decisions in the written order, and their sums; cells have no skips."""
    nll = tf.concat([step.decision.nll for step in steps], 1)
    entropies = [-tf.reduce_sum(tf.nn.softmax(step.logits) * tf.nn.log_softmax(step.logits), 1)
                 for step in steps]
    none = tf.zeros_like(nll[:, 0])
    return Samples(tf.concat([step.decision.choice for step in steps], 1), tf.reduce_sum(nll, 1),
                   tf.stop_gradient(tf.add_n(entropies)), none, none)
