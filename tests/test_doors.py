"""Tensors of a wrong rank are refused where they enter, not where TensorFlow stumbles over them."""

import pytest
import tensorflow.compat.v1 as tf

from AEROBI import general_controller, image_ops
from AEROBI.config import ChildConfig, ControllerConfig
from AEROBI.final_child import final_child
from AEROBI.general_child import search_child
from AEROBI.image_ops import LayerMode
from AEROBI.routing import run_one_of

MODE = LayerMode("NHWC", True, 0)
SEARCH = ChildConfig(2, 4, 6, 3, keep_prob=1.0)
FINAL = ChildConfig(2, 4, 6, 3, keep_prob=1.0, fixed_arc=(0, 1, 1))
CONTROLLER = ControllerConfig(num_layers=2, num_branches=6, num_aggregate=4, sync_replicas=True)


def controller():
    return general_controller.controller_variables(CONTROLLER, 0)


def replayed():
    arcs = tf.zeros([4, 3], tf.int32)
    return general_controller.replay(arcs, CONTROLLER, controller())


@pytest.mark.parametrize("build", [
    lambda: image_ops.conv(tf.zeros([8, 8, 3]), 4, 3, MODE),
    lambda: image_ops.batch_norm(tf.zeros([2, 3]), MODE),
    lambda: run_one_of(tf.zeros([1]), [tf.constant([True])], [tf.identity, tf.negative]),
    lambda: search_child(tf.zeros([8, 8, 3]), tf.zeros([3], tf.int32), SEARCH, MODE),
    lambda: search_child(tf.zeros([1, 8, 8, 3]), tf.zeros([6], tf.int32), SEARCH, MODE),
    lambda: final_child(tf.zeros([8, 8, 3]), FINAL, MODE),
    lambda: general_controller.sample(
        tf.constant([3]), tf.constant([1, 2]), CONTROLLER, controller()),
    lambda: general_controller.sample(
        tf.constant(3), tf.constant([1, 2, 3]), CONTROLLER, controller()),
    lambda: general_controller.replay(tf.zeros([3], tf.int32), CONTROLLER, controller()),
    lambda: general_controller.reinforce(replayed(), tf.zeros([5]), CONTROLLER, controller()),
    lambda: general_controller.reinforce(replayed(), tf.zeros([4, 1]), CONTROLLER, controller()),
], ids=["conv", "batch_norm", "run_one_of", "search images", "search arc", "final images",
        "sample count", "sample seed", "replay arcs", "reinforce count", "reinforce rank"])
def test_a_wrong_shape_is_refused(build):
    with tf.Graph().as_default(), pytest.raises(ValueError, match=r"(?i)shape|rank"):
        build()
