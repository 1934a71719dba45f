"""Operations on feature maps against slow twins, and what the graph must look like to be fast."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import assert_close

from AEROBI import image_ops
from AEROBI.architecture import flat_length
from AEROBI.config import ChildConfig
from AEROBI.general_child import search_child
from AEROBI.image_ops import LayerMode


@pytest.mark.parametrize("height, width", [(8, 8), (5, 7), (1, 1), (2, 3)])
def test_depthwise_gradients(height, width, session):
    """Of 5x5 weights, which come in two halves, against loops over the pixels of the patch."""
    rng = np.random.default_rng(0)
    x, dy = rng.normal(size=(2, 2, height, width, 3)).astype(np.float32)
    w = rng.normal(size=(5, 5, 3, 1)).astype(np.float32)
    inputs = tf.constant(x), tf.constant(w)
    y = image_ops.depthwise_conv(*inputs, LayerMode("NHWC", True, seed=0))
    y_value, dx, dw = session().run([y, *tf.gradients(y, inputs, tf.constant(dy))])
    twin_y, twin_dx, twin_dw = _depthwise_twin(x, w, dy)
    assert_close(y_value, twin_y)
    assert_close(dx, twin_dx)
    assert_close(dw, twin_dw)


def _depthwise_twin(x, w, dy):
    _, height, width, _ = x.shape
    y, dx, dw = np.zeros_like(x), np.zeros_like(x), np.zeros_like(w)
    for row in range(height):
        for column in range(width):
            for i in range(5):
                for j in range(5):
                    from_row, from_column = row + i - 2, column + j - 2
                    if not (0 <= from_row < height and 0 <= from_column < width):
                        continue
                    pixels = x[:, from_row, from_column]
                    y[:, row, column] += w[i, j, :, 0] * pixels
                    dx[:, from_row, from_column] += w[i, j, :, 0] * dy[:, row, column]
                    dw[i, j, :, 0] += (pixels * dy[:, row, column]).sum(0)
    return y, dx, dw


@pytest.mark.parametrize("is_training", [False, True])
def test_batch_norm_with_relu_is_both(is_training, session):
    """And moves the moving averages as without."""
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    mode = LayerMode("NHWC", is_training, seed=0)
    results = {}
    for relu in (False, True):
        with tf.variable_scope(f"relu_{relu}"):
            results[relu] = image_ops.batch_norm(tf.constant(x), mode, relu=relu)
    run = session()
    plain, rectified = run.run([results[False], results[True]])
    np.testing.assert_allclose(rectified, np.maximum(plain, 0), rtol=1e-6, atol=1e-6)
    moving = run.run({v.op.name: v for v in tf.global_variables() if "moving" in v.op.name})
    for name in ("moving_mean", "moving_variance"):
        np.testing.assert_array_equal(
            moving[f"relu_False/bn/{name}"], moving[f"relu_True/bn/{name}"])


@pytest.mark.parametrize("is_training", [False, True])
def test_nothing_stands_between_batch_norm_and_relu(is_training):
    """TensorFlow's graph optimiser makes one kernel of the two only then."""
    config = ChildConfig(num_layers=3, out_filters=4, num_branches=6, num_classes=6, keep_prob=1.0)
    search_child(tf.zeros([2, 8, 8, 3], tf.uint8), tf.zeros([flat_length(3)], tf.int32), config,
                 LayerMode("NHWC", is_training, seed=0))
    activations = [op for op in tf.get_default_graph().get_operations() if op.type == "Relu"]
    # Two for each convolution's branch, one for a pooling's.
    assert len(activations) == 3 * (4 * 2 + 2)
    assert {op.inputs[0].op.type for op in activations} == {"FusedBatchNormV3"}
