"""What runs and what does not, and what flows back: picking one tensor of several."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from AEROBI.routing import pick_one, run_one_of


@pytest.mark.parametrize("first, second", [(0, 2), (1, 1), (2, 0)])
def test_gradients_of_picked_tensors(first, second, session):
    """d(3 x_i + x_j ** 2 + 5 x_0) / dx, whichever they are; and a branch after it runs alone."""
    leaves = [tf.constant(float(value)) for value in (2, 3, 4)]
    chosen = [tf.placeholder(tf.int32, []) for _ in range(2)]
    x, tensors = pick_one(leaves, chosen[0])
    y, tensors = pick_one(tensors, chosen[1])
    runs = []
    tripled = run_one_of(x, [tf.equal(chosen[0], 5)], [
        lambda x: tf.py_func(lambda value: runs.append(value) or value, [x], tf.float32),
        lambda x: 3.0 * x])
    total = tripled + y ** 2 + 5.0 * tensors[0]
    value, *gradients = session().run(
        [total, *tf.gradients(total, leaves)], dict(zip(chosen, (first, second))))
    values, expected = (2.0, 3.0, 4.0), np.array([5.0, 0.0, 0.0])
    expected[first] += 3
    expected[second] += 2 * values[second]
    np.testing.assert_allclose(gradients, expected)
    assert value == 3 * values[first] + values[second] ** 2 + 10 and not runs
