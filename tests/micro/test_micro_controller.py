"""The controller on cells: against a slow numpy twin; it learns what is rewarded."""

import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI import general_controller as controller
from AEROBI.config import ControllerConfig
from AEROBI.micro.cells import MicroArchitecture
from AEROBI.micro.micro_controller import MICRO_SAMPLER

CONFIG = ControllerConfig(search_for="micro", num_cells=2, num_branches=5, lstm_size=8,
                          tanh_constant=1.1, op_tanh_reduce=2.5, temperature=0.5)


def values_of(seed=1):
    rng = np.random.default_rng(seed)
    return {v.op.name: rng.normal(0, 0.8, v.shape).astype(np.float32)
            for v in tf.trainable_variables()}


def twin(architecture, values, config):
    """nll and entropy of one architecture, decision by decision, in float64."""
    values = {name.removeprefix("controller/"): np.float64(value)
              for name, value in values.items()}
    c, h = [[np.zeros(config.lstm_size) for _ in range(2)] for _ in range(2)]

    def lstm(x):
        for k in range(2):
            i, f, o, g = np.split(np.concatenate([x, h[k]]) @ values[f"lstm/layer_{k}/w"], 4)
            sigmoid = [1 / (1 + np.exp(-gate)) for gate in (i, f, o)]
            c[k] = sigmoid[0] * np.tanh(g) + sigmoid[1] * c[k]
            x = h[k] = sigmoid[2] * np.tanh(c[k])
        return x

    def decide(logits, constant, choice):
        p = np.exp(constant * np.tanh(logits / config.temperature))
        p /= p.sum()
        total[0] -= np.log(p[choice])
        total[1] -= (p * np.log(p)).sum()

    total = [0.0, 0.0]
    start = values["g_emb"][0]
    for cell in architecture.cells:
        keys = [lstm(start), lstm(start)]
        read = [np.zeros(config.lstm_size)] * 2
        for inputs, ops in zip(cell.inputs, cell.node_ops):
            x = start
            for number in inputs:
                own = lstm(x) @ values["attention/w_2"]
                logits = [(np.tanh(key @ values["attention/w_1"] + own) @ values["attention/v"])[0]
                          for key in keys]
                decide(np.array(logits) - np.mean(logits), config.tanh_constant, number)
                x = read[number]
            for op in ops:
                decide(lstm(x) @ values["softmax/w"], config.tanh_constant / config.op_tanh_reduce,
                       op)
                x = values["emb/w"][op]
            keys.append(lstm(x))
            read.append(keys[-1])
    return total


def test_replay_against_the_numpy_twin(session):
    w = controller.controller_variables(CONFIG, 0)
    rng = np.random.default_rng(0)
    drawn = [MicroArchitecture.random(2, rng) for _ in range(5)]
    arcs = np.array([architecture.numbers() for architecture in drawn], np.int32)
    samples = controller.replay(tf.constant(arcs), CONFIG, w, MICRO_SAMPLER)
    values = values_of()
    got = session(values).run(samples)
    np.testing.assert_array_equal(got.arcs, arcs)
    assert not got.skip_penalty.any() and not got.skip_count.any()
    for i, architecture in enumerate(drawn):
        np.testing.assert_allclose([got.nll[i], got.entropy[i]], twin(architecture, values, CONFIG),
                                   rtol=1e-4)


def test_samples_follow_their_probabilities(session):
    """Draws are valid, replay as they were, and the most likely ones are the most frequent."""
    config = ControllerConfig(**{**CONFIG.__dict__, "num_cells": 1, "tanh_constant": 4.0})
    w = controller.controller_variables(config, 0)
    sampled = controller.sample(tf.constant(3000), tf.constant([3, 4]), config, w, MICRO_SAMPLER)
    replayed = controller.replay(sampled.arcs, config, w, MICRO_SAMPLER)
    likely = controller.most_likely(config, w, MICRO_SAMPLER)
    drawn, again, best = session(values_of()).run([sampled, replayed, likely])
    np.testing.assert_allclose(drawn.nll, again.nll, rtol=1e-5)
    text = [str(MicroArchitecture.from_numbers(arc, 1)) for arc in drawn.arcs]
    for written in set(text[:50]):
        share = np.mean([other == written for other in text])
        p = np.exp(-drawn.nll[text.index(written)])
        assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / len(text)) + 1e-3
    # An entropy is what -log p is on average.
    assert abs(drawn.nll.mean() - drawn.entropy.mean()) < 0.1
    MicroArchitecture.from_numbers(best.arcs[0], 1)
    assert best.nll[0] <= drawn.nll.min() + 1e-4 or best.nll[0] < np.median(drawn.nll)


def test_a_planted_preference_is_learned(session):
    """Rewarded: node 0 of the normal cell pools, node 1 of the reduction cell looks at node 0."""
    config = ControllerConfig(
        search_for="micro", num_cells=2, num_branches=5, lstm_size=64, lstm_num_layers=1,
        tanh_constant=2.5, num_aggregate=10, sync_replicas=True, baseline="others",
        reward_scale=30.0, lr=0.003)
    w = controller.controller_variables(config, 0)
    seed, worth = tf.placeholder(tf.int32, [2]), tf.placeholder(tf.float32, [10])
    drawn = controller.sample(tf.constant(10), seed, config, w, MICRO_SAMPLER).arcs
    arcs = tf.placeholder(tf.int32, [10, 16])
    update = controller.reinforce(controller.replay(arcs, config, w, MICRO_SAMPLER), worth,
                                  config, w)
    run = session()

    def worth_of(sampled):
        return ((sampled[:, 1] == 3) + 1.0 * (sampled[:, 12] == 2)) / 2

    early = worth_of(np.concatenate([run.run(drawn, {seed: [9, i]}) for i in range(10)])).mean()
    for step in range(50):
        sampled = run.run(drawn, {seed: [1, step]})
        run.run(update.step.train_op, {arcs: sampled, worth: worth_of(sampled)})
    late = worth_of(np.concatenate([run.run(drawn, {seed: [9, i]}) for i in range(10)])).mean()
    assert early < 0.4 and late > 0.9, (early, late)
