"""The final child against the published implementation, and its parameter counts."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import assert_close, golden_values

from AEROBI import models
from AEROBI.architecture import ENAS_1, SHIPPED, Architecture
from AEROBI.config import ChildConfig, TrainConfig
from AEROBI.final_child import final_child
from AEROBI.image_ops import LayerMode
from AEROBI.train_ops import child_update

NETWORKS = ("final_enas1", "final_shipped", "final_all_ops")


def config_of(text: str, filters: int, dense_separable: bool) -> ChildConfig:
    arc = tuple(Architecture.parse(text, 7).numbers())
    return ChildConfig(7, filters, 6, 6, keep_prob=1.0, fixed_arc=arc,
                       dense_separable=dense_separable)


def trainable_parameters() -> int:
    return sum(int(np.prod(v.shape)) for v in tf.trainable_variables())


@pytest.mark.parametrize("name", NETWORKS)
def test_against_the_reference(name, golden, session):
    arrays = golden(name)
    config = config_of(arrays["arc"].item().decode(), 8, dense_separable=True)
    images, labels = tf.constant(arrays["images"]), tf.constant(arrays["labels"])
    evaluated = final_child(images, config, LayerMode("NHWC", False, 0))
    values = golden_values(arrays)
    assert {v.op.name for v in tf.global_variables()} == set(values)
    assert trainable_parameters() == arrays["params"]
    trained = final_child(images, config, LayerMode("NHWC", True, 0))
    loss = models.cross_entropy(trained, labels)
    step = child_update(loss, tf.trainable_variables(), tf.constant(0.0), TrainConfig(l2_reg=5e-4))
    run = session(values)
    assert_close(run.run(evaluated), arrays["eval_logits"])
    got_loss, norm, correct = run.run(
        [loss, step.grad_norm, models.exact_matches(trained, labels)])
    assert_close(got_loss, arrays["train_loss"])
    assert_close(norm, arrays["grad_norm"])
    assert correct == arrays["train_exact"]


@pytest.mark.parametrize("text, dense, expected", [
    (ENAS_1, True, 3_402_944), (SHIPPED, True, 2_718_144),
    (ENAS_1, False, 1_314_496), (SHIPPED, False, 2_328_128)])
def test_published_parameter_counts(text, dense, expected):
    config = config_of(text, 64, dense)
    final_child(tf.zeros([1, 32, 32, 3]), config, LayerMode("NHWC", True, 0))
    assert trainable_parameters() == expected


def test_separable_weights_stand_where_the_plain_ones_did():
    final_child(tf.zeros([1, 32, 32, 3]), config_of(SHIPPED, 8, False), LayerMode("NHWC", False, 0))
    shapes = {v.op.name: v.shape.as_list() for v in tf.global_variables()}
    assert shapes["child/layer_6/conv_5x5/w"] == [5, 5, 32, 32]
    config = config_of(ENAS_1, 8, False)
    with tf.Graph().as_default():
        final_child(tf.zeros([1, 32, 32, 3]), config, LayerMode("NHWC", False, 0))
        shapes = {v.op.name: v.shape.as_list() for v in tf.global_variables()}
    assert shapes["child/layer_5/conv_5x5/w_depth"] == [5, 5, 32, 1]
    assert shapes["child/layer_5/conv_5x5/w_point"] == [1, 1, 32, 32]
    assert "child/layer_5/conv_5x5/w" not in shapes


@pytest.mark.parametrize("op", [1, 3])
def test_separable_is_depthwise_then_pointwise(op, session):
    """Against a numpy loop, on one layer."""
    from AEROBI import image_ops
    size = 3 if op == 1 else 5
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 6, 5, 3)).astype(np.float32)
    y = image_ops.separable_conv(tf.constant(x), 4, size, LayerMode("NHWC", False, 0))
    run = session()
    depth, point = run.run([v.value() for v in tf.global_variables()])
    pad = size // 2
    padded = np.pad(x[0], [(pad, pad), (pad, pad), (0, 0)])
    middle = np.zeros_like(x[0])
    for i in range(6):
        for j in range(5):
            window = padded[i:i + size, j:j + size]
            middle[i, j] = (window * depth[..., 0]).sum((0, 1))
    np.testing.assert_allclose(run.run(y)[0], middle @ point[0, 0], rtol=1e-4, atol=1e-5)
