"""Schedules and the momentum step against the published implementation and a numpy twin."""

import dataclasses

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import assert_close

from AEROBI.config import TrainConfig
from AEROBI.train_ops import child_update, learning_rate, progress

COSINE = dict(lr_cosine=True, lr_max=0.01, lr_min=1e-5, lr_T_0=10, lr_T_mul=2)


def test_schedule_with_the_restart_fault(golden):
    config = TrainConfig(**COSINE, restart_step=True)
    got = [learning_rate(step, 3, config) for step in range(960)]
    assert_close(got, golden("schedule")["lr"])


@pytest.mark.parametrize("factor, share", [(1, 0.0), (2, 0.5), (3, 0.75)])
def test_the_restart_fault_for_other_factors(factor, share):
    """Measured with the published code: the minimum, half and three quarters of the range."""
    config = TrainConfig(**{**COSINE, "lr_T_mul": factor}, restart_step=True)
    first, second = (learning_rate(step, 3, config) for step in (30, 31))
    np.testing.assert_allclose(first, 1e-5 + (0.01 - 1e-5) * share, rtol=1e-6)
    np.testing.assert_allclose(second, 0.01)


def test_schedule_without_it(golden):
    """The same, but for the first steps of the restarts, which have the maximum."""
    got = np.array([learning_rate(step, 3, TrainConfig(**COSINE)) for step in range(960)])
    different = ~np.isclose(got, golden("schedule")["lr"], rtol=1e-4)
    np.testing.assert_array_equal(np.flatnonzero(different), [30, 90, 210, 450, 930])
    np.testing.assert_allclose(got[different], 0.01)


def test_staircase():
    config = TrainConfig(lr=0.1, lr_dec_rate=0.5, lr_dec_every=2)
    got = [learning_rate(step, 3, config) for step in range(0, 18, 3)]
    np.testing.assert_allclose(got, [0.1, 0.1, 0.05, 0.05, 0.025, 0.025])


def momentum_run(session, config: TrainConfig, arrays: dict) -> tuple[np.ndarray, np.ndarray]:
    """Weights and gradient norms of 20 steps on a loss with gradient (1, 2, 400)."""
    variables = [tf.get_variable(f"w{i}", initializer=np.float32([value]), use_resource=True)
                 for i, value in enumerate(arrays["w0"])]
    loss = tf.add_n([tf.reduce_sum(v) * slope for v, slope in zip(variables, (1., 2., 400.))])
    lr = tf.placeholder(tf.float32, [])
    step = child_update(loss, variables, lr, config)
    run, w, norms = session(), [], []
    for k in range(20):
        norms.append(run.run([step.grad_norm, step.train_op], {lr: arrays["lr"][k]})[0])
        w.append(np.concatenate(run.run(variables)))
    return np.array(w), np.array(norms)


def test_momentum_without_clipping(golden, session):
    arrays = golden("schedule")
    w, norms = momentum_run(session, TrainConfig(l2_reg=5e-4, no_clipping=True), arrays)
    assert_close(norms, arrays["grad_norm"])
    for i in range(3):
        assert_close(w[:, i], arrays["w"][:, i])


def test_schedule_that_follows_the_steps():
    """The same at the beginning of each epoch; between them, and over restarts, a cosine."""
    config = TrainConfig(lr_cosine=True, lr_max=0.1, lr_min=0.02, lr_T_0=2, lr_T_mul=2)
    stepwise = dataclasses.replace(config, lr_per_step=True)
    for epoch in range(7):
        assert learning_rate(epoch * 5, 5, stepwise) == learning_rate(epoch * 5, 5, config)
    for step in range(10, 30):  # the second period: epochs 2 to 5
        expected = 0.02 + 0.04 * (1 + np.cos(np.pi * (step - 10) / 20))
        assert learning_rate(step, 5, stepwise) == pytest.approx(expected)


def test_momentum_with_clipping(golden, session):
    """Each tensor's gradient to norm 5; the reported norm is the one before."""
    arrays = golden("schedule")
    w, norms = momentum_run(session, TrainConfig(l2_reg=5e-4, grad_bound=5.0), arrays)
    twin, velocity = np.float64(arrays["w0"]), np.zeros(3)
    for k in range(20):
        gradient = np.array([1.0, 2.0, 400.0]) + 2 * 5e-4 * twin
        np.testing.assert_allclose(norms[k], np.linalg.norm(gradient), rtol=1e-5)
        gradient *= np.minimum(1, 5.0 / np.abs(gradient))
        velocity = 0.9 * velocity + gradient
        twin = twin - arrays["lr"][k] * (gradient + 0.9 * velocity)
        np.testing.assert_allclose(w[k], twin, rtol=1e-4)


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_a_gradient_of_zero_is_not_a_division(value, session):
    v = tf.get_variable("w", initializer=np.float32([value]), use_resource=True)
    step = child_update(0.0 * tf.reduce_sum(v), [v], tf.constant(0.1), TrainConfig(l2_reg=0.0))
    run = session()
    run.run(step.train_op)
    assert run.run(v) == value


def test_progress_ends_at_one():
    shares = [progress(step, 4, 2) for step in range(9)]
    assert shares == [i / 8 for i in range(1, 9)] + [1.0]
