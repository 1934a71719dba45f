"""The controller against the published implementation and against a slow numpy twin."""

import dataclasses

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import assert_close, golden_values

from AEROBI import general_controller as controller
from AEROBI.architecture import Architecture, flat_length
from AEROBI.config import ControllerConfig

PUBLISHED = ControllerConfig(
    num_layers=7, num_branches=6, tanh_constant=1.5, entropy_weight=1e-4, skip_target=0.4,
    skip_weight=0.8, bl_dec=0.99, num_aggregate=5, sync_replicas=True)


def test_variables_are_those_of_the_reference(golden):
    controller.controller_variables(PUBLISHED, seed=0)
    shapes = {v.op.name: tuple(v.shape.as_list()) for v in tf.trainable_variables()}
    assert shapes == {name: value.shape
                      for name, value in golden_values(golden("controller")).items()}


def test_replayed_samples(golden, session):
    arrays = golden("controller")
    w = controller.controller_variables(PUBLISHED, seed=0)
    samples = controller.replay(tf.constant(arrays["arcs"]), PUBLISHED, w)
    got = session(golden_values(arrays)).run(samples)
    np.testing.assert_array_equal(got.arcs, arrays["arcs"])
    for name in ("nll", "entropy", "skip_penalty", "skip_count"):
        assert_close(getattr(got, name), arrays[name])


def test_one_averaged_update(golden, session):
    arrays = golden("controller")
    w = controller.controller_variables(PUBLISHED, seed=0)
    samples = controller.replay(tf.constant(arrays["train_arcs"]), PUBLISHED, w)
    exact_match = tf.constant(arrays["train_counts"] / 16, tf.float32)
    update = controller.reinforce(samples, exact_match, PUBLISHED, w)
    trainable = {v.op.name: v for v in tf.trainable_variables()}
    gradients = dict(zip(trainable, map(tf.convert_to_tensor, tf.gradients(
        tf.reduce_mean(update.loss), list(trainable.values())))))
    run = session(golden_values(arrays))
    loss, baseline, got_gradients, skip_count = run.run(
        [update.loss, update.baseline, gradients, samples.skip_count])
    run.run(update.step.train_op)
    assert_close(loss, arrays["train_loss"])
    assert_close(baseline, arrays["train_baseline_after"])
    assert_close(skip_count / flat_length(6), arrays["train_skip_rate"])
    after = run.run(trainable)
    for name in trainable:
        assert_close(got_gradients[name], arrays[f"mean_grad/{name}"])
        assert_close(after[name], arrays[f"after/{name}"])
    stored = next(v for v in tf.global_variables() if v.op.name == "controller/baseline")
    assert_close(run.run(stored), arrays["train_baseline_after"][-1])


def test_gradient_norms_of_single_samples(golden, session):
    """Without aggregation every sample is an update; the baseline moves from one to the next."""
    arrays = golden("controller")
    config = ControllerConfig(**{**PUBLISHED.__dict__, "sync_replicas": False, "lr": 0.0})
    w = controller.controller_variables(config, seed=0)
    arc, exact = tf.placeholder(tf.int32, [1, 28]), tf.placeholder(tf.float32, [1])
    update = controller.reinforce(controller.replay(arc, config, w), exact, config, w)
    run = session(golden_values(arrays))
    for i, count in enumerate(arrays["train_counts"]):
        norm, baseline, _ = run.run(
            [update.step.grad_norm, update.baseline, update.step.train_op],
            {arc: arrays["train_arcs"][i:i + 1], exact: [count / 16]})
        assert_close(norm, arrays["train_grad_norm"][i])
        assert_close(baseline[0], arrays["train_baseline_after"][i])


def numpy_twin(arc: np.ndarray, values: dict[str, np.ndarray], temperature: float,
               tanh_constant: float, target: float) -> tuple[float, float, float]:
    """nll, entropy and penalty of one architecture, decision by decision, in float64."""
    values = {name.removeprefix("controller/"): np.float64(value)
              for name, value in values.items()}

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def lstm(x):
        for k in range(2):
            i, f, o, g = np.split(
                np.concatenate([x, h[k]]) @ values[f"lstm/layer_{k}/w"], 4)
            c[k] = sigmoid(i) * np.tanh(g) + sigmoid(f) * c[k]
            h[k] = sigmoid(o) * np.tanh(c[k])
            x = h[k]
        return x

    def squash(logits):
        return tanh_constant * np.tanh(logits / temperature)

    def decide(logits, choice):
        return -np.log(np.exp(logits[choice]) / np.exp(logits).sum())

    c, h = [np.zeros(64)] * 2, [np.zeros(64)] * 2
    x, anchors, nlls, penalties = values["g_emb"][0], [], [], []
    for op, *bits in Architecture.from_numbers(arc, 7).rows():
        nlls.append(decide(squash(lstm(x) @ values["softmax/w"]), op))
        anchor = lstm(values["emb/w"][op])
        penalty = 0.0
        for bit, earlier in zip(bits, anchors):
            q = np.tanh(earlier @ values["attention/w_1"] + anchor @ values["attention/w_2"])
            q = (q @ values["attention/v"])[0]
            logits = squash(np.array([-q, q]))
            nlls.append(decide(logits, bit))
            p = sigmoid(logits)
            penalty += (p * np.log(p / np.array([1 - target, target]))).sum()
        chosen = [earlier for bit, earlier in zip(bits, anchors) if bit]
        x = values["g_emb"][0] if not anchors else sum(chosen, np.zeros(64)) / (1 + len(chosen))
        if anchors:
            penalties.append(penalty)
        anchors.append(anchor)
    nlls = np.array(nlls)
    return nlls.sum(), (nlls * np.exp(-nlls)).sum(), np.mean(penalties)


def test_temperature_against_the_numpy_twin(golden, session):
    arrays = golden("controller")
    config = ControllerConfig(num_layers=7, num_branches=6, tanh_constant=1.1, temperature=0.5,
                              skip_target=0.7)
    w = controller.controller_variables(config, seed=0)
    got = session(golden_values(arrays)).run(
        controller.replay(tf.constant(arrays["arcs"][:5]), config, w))
    for i in range(5):
        twin = numpy_twin(arrays["arcs"][i], golden_values(arrays), 0.5, 1.1, 0.7)
        np.testing.assert_allclose(
            [got.nll[i], got.entropy[i], got.skip_penalty[i]], twin, rtol=1e-4)


def test_samples_follow_their_probabilities(golden, session):
    """Sampling and replaying agree, and frequencies are what the nll says."""
    arrays = golden("controller")
    w = controller.controller_variables(PUBLISHED, seed=0)
    sampled = controller.sample(tf.constant(4000), tf.constant([3, 4]), PUBLISHED, w)
    replayed = controller.replay(sampled.arcs, PUBLISHED, w)
    got, again = session(golden_values(arrays)).run([sampled, replayed])
    for name in ("nll", "entropy", "skip_penalty", "skip_count"):
        np.testing.assert_allclose(getattr(got, name), getattr(again, name), rtol=1e-4)
    for arc in got.arcs[:50]:
        Architecture.from_numbers(arc, 7)
    values = golden_values(arrays)
    frequencies = np.bincount(got.arcs[:, 0], minlength=6) / 4000
    np.testing.assert_allclose(frequencies, first_op_probabilities(values), atol=0.03)


def first_op_probabilities(values: dict[str, np.ndarray]) -> np.ndarray:
    """Of the first decision: one step of the LSTM from zeros, in numpy."""
    x = np.float64(values["controller/g_emb"][0])
    for k in range(2):
        gates = np.concatenate([x, np.zeros(64)]) @ values[f"controller/lstm/layer_{k}/w"]
        i, _, o, g = np.split(gates, 4)
        x = np.tanh(np.tanh(g) / (1 + np.exp(-i))) / (1 + np.exp(-o))
    logits = 1.5 * np.tanh(x @ values["controller/softmax/w"])
    return np.exp(logits) / np.exp(logits).sum()


def test_sampling_is_a_function_of_its_seed(session):
    w = controller.controller_variables(PUBLISHED, seed=0)
    seed = tf.placeholder(tf.int32, [2])
    arcs = controller.sample(tf.constant(8), seed, PUBLISHED, w).arcs
    run = session()
    first, again, other = (run.run(arcs, {seed: s}) for s in ([1, 2], [1, 2], [2, 2]))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_no_gradient_through_the_entropy(golden):
    w = controller.controller_variables(PUBLISHED, seed=0)
    samples = controller.replay(tf.constant(golden("controller")["arcs"]), PUBLISHED, w)
    assert all(g is None for g in tf.gradients(samples.entropy, tf.trainable_variables()))


@pytest.mark.parametrize("layers", [1, 2])
def test_small_depths(layers, session):
    """No skips at all, and one."""
    config = ControllerConfig(num_layers=layers, num_branches=6)
    w = controller.controller_variables(config, seed=0)
    got = session().run(controller.sample(tf.constant(3), tf.constant([0, 1]), config, w))
    assert got.arcs.shape == (3, flat_length(layers))
    assert np.isfinite(got.nll).all() and np.isfinite(got.skip_penalty).all()


@pytest.mark.parametrize("layers", [1, 2])
def test_small_depths_learn(layers, session):
    """The first layer has no skips, so alone it gives the attention no gradient."""
    config = ControllerConfig(num_layers=layers, num_branches=6, tanh_constant=1.5, l2_reg=1e-4)
    w = controller.controller_variables(config, seed=0)
    arcs = tf.constant([[3] * flat_length(layers - 1) + [2] + [1] * (layers - 1)])
    update = controller.reinforce(controller.replay(arcs, config, w), tf.constant([0.5]), config, w)
    run = session().run
    before = run(w.op_softmax)
    norm, _ = run([update.step.grad_norm, update.step.train_op])
    assert np.isfinite(norm)
    assert np.abs(run(w.op_softmax) - before).max() > 0


def learned_share(config: ControllerConfig, session, wanted) -> tuple[float, float]:
    """Share of samples that are wanted, before and after eighty updates that reward them."""
    w = controller.controller_variables(config, seed=0)
    arcs, exact = tf.placeholder(tf.int32, [None, 6]), tf.placeholder(tf.float32, [None])
    update = controller.reinforce(controller.replay(arcs, config, w), exact, config, w)
    seed = tf.placeholder(tf.int32, [2])
    sampled = controller.sample(tf.constant(10), seed, config, w).arcs
    run = session()

    def share(k: int) -> float:
        many = np.concatenate([run.run(sampled, {seed: [k, i]}) for i in range(20)])
        return wanted(many).mean()

    before = share(100)
    for step in range(80):
        drawn = run.run(sampled, {seed: [step, 0]})
        run.run(update.step.train_op, {arcs: drawn, exact: wanted(drawn).astype(float)})
    return before, share(200)


LEARNING = ControllerConfig(num_layers=3, num_branches=6, lr=0.02, num_aggregate=10,
                            sync_replicas=True, tanh_constant=1.5)


@pytest.mark.parametrize("search_for", ["macro", "branch"])
def test_a_rewarded_choice_becomes_likelier(search_for, session):
    """Updates that reward pooling in the first layer."""
    config = dataclasses.replace(LEARNING, search_for=search_for)
    before, after = learned_share(config, session, lambda arcs: arcs[:, 0] >= 4)
    assert after > before + 0.3


def test_connection_learns_a_planted_skip(session):
    """Updates that reward both skips into the last layer."""
    config = dataclasses.replace(LEARNING, search_for="connection")
    before, after = learned_share(
        config, session, lambda arcs: (arcs[:, 4:] == 1).all(1))
    assert after > before + 0.3


def test_connection_fixes_the_operations_and_counts_them(golden, session):
    """As published: operation 0 everywhere; its log probability is in nll and entropy."""
    values = golden_values(golden("controller"))
    config = dataclasses.replace(PUBLISHED, search_for="connection")
    w = controller.controller_variables(config, seed=0)
    sampled = controller.sample(tf.constant(50), tf.constant([3, 4]), config, w)
    macro = controller.replay(sampled.arcs, PUBLISHED, w)
    got, again, likely = session(values).run(
        [sampled, macro, controller.most_likely(config, w)])
    starts = [flat_length(layer) for layer in range(7)]
    assert not got.arcs[:, starts].any() and not likely.arcs[:, starts].any()
    skips = np.delete(got.arcs, starts, axis=1)
    assert 0 < skips.mean() < 1 and len(np.unique(skips, axis=0)) > 10
    for name in ("nll", "entropy", "skip_penalty", "skip_count"):
        np.testing.assert_allclose(getattr(got, name), getattr(again, name), rtol=1e-5)
    twin = numpy_twin(got.arcs[0], values, 1.0, 1.5, 0.4)
    np.testing.assert_allclose(
        [got.nll[0], got.entropy[0], got.skip_penalty[0]], twin, rtol=1e-4)


def test_branch_is_macro(golden, session):
    """The published controller samples the same for both, operations and skips."""
    w = controller.controller_variables(PUBLISHED, seed=0)
    branch, macro = session(golden_values(golden("controller"))).run(
        [controller.sample(tf.constant(9), tf.constant([3, 4]),
                           dataclasses.replace(PUBLISHED, search_for=name), w)
         for name in ("branch", "macro")])
    for of_branch, of_macro in zip(branch, macro):
        np.testing.assert_array_equal(of_branch, of_macro)
