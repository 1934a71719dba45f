"""The linear model of what architectures are worth, against scikit-learn and by many draws."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from sklearn.linear_model import Ridge

from AEROBI import general_controller
from AEROBI.config import ControllerConfig
from AEROBI.search_space import linear_worth
from AEROBI.search_space.linear_worth import LinearWorth
from AEROBI.search_space.spaces import MacroSpace

SPACE = MacroSpace(4)


def random_arcs(count: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.array([SPACE.random(rng).numbers() for _ in range(count)])


def one_hot(arcs: np.ndarray) -> np.ndarray:
    """Slowly: a column for each position and number."""
    return np.array([[float(number == value) for number in arc for value in range(6)]
                     for arc in arcs])


@pytest.fixture(scope="module")
def trainings():
    """Architectures, and worths that depend on their decisions and on chance."""
    arcs, rng = random_arcs(30), np.random.default_rng(1)
    return arcs, 0.5 + 0.02 * (arcs == 5).sum(1) + 0.01 * rng.normal(size=30)


def test_what_is_expected_of_new_ones_is_that_of_ridge_regression(trainings):
    arcs, worths = trainings
    new = random_arcs(9, seed=2)
    ridge = Ridge(alpha=linear_worth.PRIOR).fit(one_hot(arcs), worths)
    np.testing.assert_allclose(LinearWorth(arcs, worths).estimates(new),
                               ridge.predict(one_hot(new)), rtol=1e-9)


def test_what_was_trained_counts_itself_more_the_oftener(trainings):
    arcs, worths = trainings
    once = LinearWorth(arcs, worths)
    ridge = Ridge(alpha=linear_worth.PRIOR).fit(one_hot(arcs), worths)
    middle = (ridge.predict(one_hot(arcs)) + worths) / 2
    np.testing.assert_allclose(once.estimates(arcs), middle, rtol=1e-9)
    twice = LinearWorth(np.repeat(arcs, 2, 0), np.repeat(worths, 2))
    ridge = Ridge(alpha=linear_worth.PRIOR).fit(np.repeat(one_hot(arcs), 2, 0),
                                                np.repeat(worths, 2))
    expected = ridge.predict(one_hot(arcs))
    np.testing.assert_allclose(twice.estimates(arcs), expected + 2 / 3 * (worths - expected),
                               rtol=1e-9)


def test_draws_are_of_the_posterior(trainings):
    """Mean and covariance of many, in units of the spread of all worths."""
    arcs, worths = trainings
    model, new, rng = LinearWorth(arcs, worths), random_arcs(5, seed=3), np.random.default_rng(4)
    draws = np.array([model.draw(rng)(new) for _ in range(4000)])
    standard = (model.estimates(new) - worths.mean()) / worths.std()
    np.testing.assert_allclose(draws.mean(0), standard, atol=0.03)
    rows = one_hot(arcs)
    precision = (rows - rows.mean(0)).T @ (rows - rows.mean(0)) + linear_worth.PRIOR * np.eye(60)
    apart = one_hot(new) - rows.mean(0)
    covariance = linear_worth.NOISE ** 2 * apart @ np.linalg.inv(precision) @ apart.T
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.02)


def test_one_training_or_equal_ones_say_nothing(trainings):
    arcs, _ = trainings
    for known in (arcs[:1], arcs):
        model = LinearWorth(known, np.full(len(known), 0.25))
        np.testing.assert_allclose(model.estimates(arcs), 0.25)


def test_the_controller_learns_what_few_trainings_show(trainings, session):
    """Thirty trainings, and the policy prefers operation 5, which they were made to prefer."""
    config = ControllerConfig(num_layers=4, num_branches=6, tanh_constant=2.5, lr=0.01,
                              entropy_weight=0.3, baseline="others", num_aggregate=10,
                              sync_replicas=True)
    w = general_controller.controller_variables(config, seed=0)
    seed, count = tf.placeholder(tf.int32, [2]), tf.placeholder(tf.int32, [])
    drawn = general_controller.sample(count, seed, config, w).arcs
    arcs, worths = tf.placeholder(tf.int32, [10, 10]), tf.placeholder(tf.float32, [10])
    update = general_controller.reinforce(
        general_controller.replay(arcs, config, w), worths, config, w).step.train_op
    run, model, rng = session(), LinearWorth(*trainings), np.random.default_rng(5)
    ops = [0, 1, 3, 6]

    def share() -> float:
        return (run.run(drawn, {count: 200, seed: [9, 9]})[:, ops] == 5).mean()

    before = share()
    for phase in range(3):
        reward = model.draw(rng)
        for step in range(40):
            sampled = run.run(drawn, {count: 10, seed: [phase, step]})
            run.run(update, {arcs: sampled, worths: reward(sampled)})
    assert before < 0.25 and share() > 0.6
