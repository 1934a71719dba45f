"""The LSTM that samples architectures, and its REINFORCE update (ENAS, sections 2.1 to 2.3)."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI.architecture import flat_length
from AEROBI.common_ops import (
    constant,
    lstm_zero_state,
    stacked_lstm,
    uncompiled,
    uniform,
    variable,
)
from AEROBI.config import CONNECTION, OTHERS, ControllerConfig
from AEROBI.routing import switch
from AEROBI.train_ops import TrainStep, controller_update

INITIAL_LIMIT = 0.1  # the weights start uniform in ±0.1


class ControllerVariables(NamedTuple):
    """The trainable variables of the controller."""

    lstm: tuple[tf.Variable, ...]
    first_input: tf.Variable
    op_embedding: tf.Variable
    op_softmax: tf.Variable
    earlier_anchor: tf.Variable
    own_anchor: tf.Variable
    anchor_score: tf.Variable


class Samples(NamedTuple):
    """B architectures and what the controller says of them; D decisions each."""

    arcs: tf.Tensor  # int32 [B, D], in the written order
    nll: tf.Tensor  # float32 [B], negative log probability
    entropy: tf.Tensor  # float32 [B], no gradient flows through it
    skip_penalty: tf.Tensor  # float32 [B]
    skip_count: tf.Tensor  # float32 [B]


class Sampler(NamedTuple):
    """How the controller decides in one search space."""

    decisions: Callable[[ControllerConfig], int]  # D, in an architecture
    # (given, config, variables) → samples, whose decisions are given as in `_walk`.
    walk: Callable[[tf.Tensor | None, ControllerConfig, ControllerVariables], Samples]


class Decision(NamedTuple):
    """One kind of decision of a layer: an operation, or all its skip bits at once."""

    choice: tf.Tensor  # int32 [B, n]
    nll: tf.Tensor  # float32 [B, n]


class Reinforce(NamedTuple):
    """One update; per sample what the log shows of it."""

    step: TrainStep
    loss: tf.Tensor  # float32 [B]
    baseline: tf.Tensor  # float32 [B], that each reward was compared with
    reward: tf.Tensor  # float32 [B]


def controller_variables(config: ControllerConfig, seed: int) -> ControllerVariables:
    """The controller's variables, created or reused."""
    initial, units = uniform(INITIAL_LIMIT, seed), config.lstm_size
    with tf.variable_scope("controller", reuse=tf.AUTO_REUSE):
        lstm = []
        for layer in range(config.lstm_num_layers):
            with tf.variable_scope(f"lstm/layer_{layer}"):
                lstm.append(variable("w", [2 * units, 4 * units], initial))
        return ControllerVariables(
            tuple(lstm),
            variable("g_emb", [1, units], initial),
            variable("emb/w", [config.num_branches, units], initial),
            variable("softmax/w", [units, config.num_branches], initial),
            variable("attention/w_1", [units, units], initial),
            variable("attention/w_2", [units, units], initial),
            variable("attention/v", [units, 1], initial))


def _walk(given: tf.Tensor | None, config: ControllerConfig, w: ControllerVariables) -> Samples:
    """Layer after layer: its operation, then its skips.

    `given` [B, D]: float32 are uniform random numbers, turned into decisions; int32 are the
    decisions; None: the most likely ones.
    """
    batch = 1 if given is None else given.shape[0] or tf.shape(given)[0]
    state = lstm_zero_state(batch, config.lstm_size, config.lstm_num_layers)
    first_input = tf.tile(w.first_input, [batch, 1])
    x, anchors, ops, skips, penalties = first_input, [], [], [], []
    for layer in range(config.num_layers):
        op_given, skips_given = _of_layer(given, layer)
        state = stacked_lstm(x, state, w.lstm)
        op = _decide_op(state.h[-1], op_given, config, w)
        ops.append(op)
        state = stacked_lstm(tf.gather(w.op_embedding, op.choice[:, 0]), state, w.lstm)
        anchor = state.h[-1]
        if anchors:
            earlier = tf.stack(anchors, 1)  # [B, layer, units]
            logits = _skip_logits(earlier, anchor, config, w)
            skip = _decide_skips(logits, skips_given)
            skips.append(skip)
            penalties.append(_skip_penalty(logits, config.skip_target))
            x = _mean_of_chosen(earlier, skip.choice)
        else:
            x = first_input
        anchors.append(anchor)
    return _collect(ops, skips, penalties)


MACRO_SAMPLER = Sampler(lambda config: flat_length(config.num_layers), _walk)


def sample(batch: tf.Tensor, seed: tf.Tensor, config: ControllerConfig,
           w: ControllerVariables, sampler: Sampler = MACRO_SAMPLER) -> Samples:
    """`batch` (int32 []) architectures drawn from the policy; a pure function of `seed`.

    Args:
        batch: int32 [], how many.
        seed: int32 [2], of the stateless random numbers.
        config: size of the controller.
        w: its variables.
        sampler: of the search space.
    """
    batch.shape.assert_has_rank(0)
    seed.shape.assert_is_compatible_with([2])
    with uncompiled():
        uniforms = tf.random.stateless_uniform([batch, sampler.decisions(config)], seed)
    return sampler.walk(uniforms, config, w)


def replay(arcs: tf.Tensor, config: ControllerConfig, w: ControllerVariables,
           sampler: Sampler = MACRO_SAMPLER) -> Samples:
    """The same walk with its decisions taken from `arcs`, int32 [B, D]."""
    arcs.shape.assert_is_compatible_with([None, sampler.decisions(config)])
    return sampler.walk(arcs, config, w)


def most_likely(config: ControllerConfig, w: ControllerVariables,
                sampler: Sampler = MACRO_SAMPLER) -> Samples:
    """The architecture, B = 1, of the most likely choice in each decision, given those before."""
    return sampler.walk(None, config, w)


def _of_layer(given: tf.Tensor | None, layer: int) -> tuple[tf.Tensor | None, tf.Tensor | None]:
    """What is given for the operation [B, 1] and for the skips [B, layer] of a layer."""
    if given is None:
        return None, None
    numbers = given[:, flat_length(layer):flat_length(layer + 1)]
    return numbers[:, :1], numbers[:, 1:]


def _decide_op(h: tf.Tensor, given: tf.Tensor | None, config: ControllerConfig,
               w: ControllerVariables) -> Decision:
    """The operation of a layer; `h` float32 [B, units], `given` [B, 1] as in `_walk`."""
    logits = squash(tf.matmul(h, w.op_softmax), config)
    if config.search_for == CONNECTION and not _is_replayed(given):
        # A fixed operation is one more decision in nll and entropy, as in the published code.
        given = tf.zeros_like(logits[:, :1], tf.int32)
    return choose(logits, given)


def choose(logits: tf.Tensor, given: tf.Tensor | None) -> Decision:
    """One of n by its logits float32 [B, n]; `given` [B, 1] as in `_walk`."""
    choice = given
    if given is None:
        choice = tf.argmax(logits, axis=1, output_type=tf.int32)[:, tf.newaxis]
    elif given.dtype.is_floating:
        # Inverse distribution function. The last step is left out: rounding cannot go past it.
        edges = tf.cumsum(tf.nn.softmax(logits), axis=1)[:, :-1]
        choice = tf.reduce_sum(tf.cast(given >= edges, tf.int32), 1, keepdims=True)
    nll = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=choice[:, 0], logits=logits)
    return Decision(choice, nll[:, tf.newaxis])


def _is_replayed(given: tf.Tensor | None) -> bool:
    return given is not None and not given.dtype.is_floating


def _skip_logits(earlier: tf.Tensor, anchor: tf.Tensor, config: ControllerConfig,
                 w: ControllerVariables) -> tf.Tensor:
    """Logits float32 [B, i, 2] of (no skip, skip) from each of i earlier anchors [B, i, units]."""
    query = tf.tensordot(earlier, w.earlier_anchor, 1) + tf.matmul(anchor, w.own_anchor)[:, None]
    q = tf.tensordot(tf.tanh(query), w.anchor_score, 1)  # [B, i, 1]
    return squash(tf.concat([-q, q], 2), config)


def _decide_skips(logits: tf.Tensor, given: tf.Tensor | None) -> Decision:
    """The skip bits of a layer; `given` [B, i] as in `_walk`."""
    choice = given
    if given is None:
        choice = tf.argmax(logits, axis=2, output_type=tf.int32)
    elif given.dtype.is_floating:
        choice = tf.cast(given < tf.nn.softmax(logits)[..., 1], tf.int32)
    nll = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=choice, logits=logits)
    return Decision(choice, nll)


def squash(logits: tf.Tensor, config: ControllerConfig, reduce: float = 1.0) -> tf.Tensor:
    """Temperature, then tanh, its constant divided by `reduce`, where they are given."""
    if config.temperature is not None:
        logits /= config.temperature
    if config.tanh_constant is not None:
        logits = config.tanh_constant / reduce * tf.tanh(logits)
    return logits


def _skip_penalty(logits: tf.Tensor, target: float) -> tf.Tensor:
    """Distance of a layer's skip probabilities from the target, float32 [B]."""
    p = tf.sigmoid(logits)  # each of the two logits by itself, not a softmax
    return tf.reduce_sum(p * tf.math.log(p / tf.constant([1.0 - target, target])), [1, 2])


def _mean_of_chosen(earlier: tf.Tensor, choice: tf.Tensor) -> tf.Tensor:
    """(Sum of chosen anchors) / (1 + number chosen), float32 [B, units]."""
    chosen = tf.cast(choice, tf.float32)
    total = tf.reduce_sum(chosen[..., tf.newaxis] * earlier, 1)
    return total / (1.0 + tf.reduce_sum(chosen, 1, keepdims=True))


def _collect(ops: list[Decision], skips: list[Decision], penalties: list[tf.Tensor]) -> Samples:
    """All decisions, in the written order, and their sums."""
    parts = [ops[0].choice]
    for op, skip in zip(ops[1:], skips):
        parts += [op.choice, skip.choice]
    nll = tf.concat([decision.nll for decision in ops + skips], 1)
    none = tf.zeros_like(nll[:, 0])
    count = tf.add_n([none] + [
        tf.reduce_sum(tf.cast(skip.choice, tf.float32), 1) for skip in skips])
    return Samples(
        tf.concat(parts, 1), tf.reduce_sum(nll, 1),
        tf.stop_gradient(tf.reduce_sum(nll * tf.exp(-nll), 1)),
        tf.add_n([none, *penalties]) / max(1, len(penalties)), count)


def reinforce(samples: Samples, worth: tf.Tensor, config: ControllerConfig,
              w: ControllerVariables) -> Reinforce:
    """One REINFORCE update from B samples, gradients averaged, the baseline moving in order.

    Args:
        samples: replayed, so that gradients flow through nll and penalty.
        worth: float32 [B], what each sample was worth on its batch: of the paper, the share of
            exact matches.
        config: weights of the terms; B is `config.samples_per_update`.
        w: the variables to update.
    """
    worth.shape.assert_is_compatible_with([config.samples_per_update])
    samples.nll.shape.assert_is_compatible_with([config.samples_per_update])
    reward = config.reward_scale * worth
    if config.entropy_weight is not None:
        reward += config.entropy_weight * samples.entropy
    with tf.variable_scope("controller", reuse=tf.AUTO_REUSE):
        baseline = variable("baseline", [], constant(0.0), trainable=False)
    if config.baseline == OTHERS:
        baselines = _mean_of_others(reward, config)
    else:
        baselines = _moving_baseline(baseline, reward, config)
    loss = samples.nll * tf.stop_gradient(reward - baselines)
    loss += config.skip_weight * samples.skip_penalty
    step = controller_update(tf.reduce_mean(loss), list(_trainable(w)), config)
    _, last = switch(baselines[-1], step.finite)  # the baseline moves with the weights or stays
    with tf.control_dependencies([baselines]):
        moved = baseline.assign(last, read_value=False)
    step = step._replace(train_op=tf.group(step.train_op, moved))
    return Reinforce(step, loss, baselines, reward)


def _moving_baseline(baseline: tf.Tensor, reward: tf.Tensor,
                     config: ControllerConfig) -> tf.Tensor:
    """The baseline after each of B rewards in turn: b ← b - (1 - bl_dec)(b - R), float32 [B].

    The recursion unrolled: b_i = d^(i+1) b + (1 - d) Σ_{k ≤ i} d^(i-k) R_k.
    """
    decay, count = config.bl_dec, config.samples_per_update
    lag = np.subtract.outer(np.arange(count), np.arange(count))
    mixing = np.where(lag >= 0, (1 - decay) * decay ** np.maximum(lag, 0.0), 0.0)
    kept = decay ** np.arange(1.0, count + 1)
    return (tf.constant(kept, tf.float32) * baseline
            + tf.linalg.matvec(tf.constant(mixing, tf.float32), reward))


def _mean_of_others(reward: tf.Tensor, config: ControllerConfig) -> tf.Tensor:
    """The mean of the update's other rewards, float32 [B].

    The advantages of an update add up to 0: weights that have changed since the last one move no
    probability, where a moving mean would have all samples of a decided policy pushed away
    (leave-one-out baseline: Kool et al., 2019, "Buy 4 REINFORCE samples, get a baseline for free").
    """
    return (tf.reduce_sum(reward) - reward) / (config.samples_per_update - 1.0)


def _trainable(w: ControllerVariables) -> tuple[tf.Variable, ...]:
    return (*w.lstm, *w[1:])
