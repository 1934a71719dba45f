"""The search child that computes all six operations of every layer and masks five of them.

What a graph without routing costs; the children of the published code are built that way.
"""

from collections.abc import Callable

import AEROBI  # noqa: F401  (before TensorFlow: it chooses the CPU kernels)

# isort: split
import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI import general_child, models
from AEROBI.architecture import Architecture, flat_length
from AEROBI.config import ChildConfig
from AEROBI.image_ops import LayerMode
from AEROBI.tf_setup import session_config
from AEROBI.train_ops import child_update
from bench.setting import CLASSES, LEARNING_RATE, Batch, Setting


def all_operations(x: tf.Tensor, op: tf.Tensor, config: ChildConfig, mode: LayerMode) -> tf.Tensor:
    """All operations of a layer on `x`, the chosen one picked by a mask."""
    mask = tf.one_hot(op, config.num_branches)
    return tf.add_n([
        mask[number] * general_child.branch(number, config.out_filters, mode, x)
        for number in range(config.num_branches)])


def all_six_step(setting: Setting) -> Callable[[Batch, Architecture], list]:
    """A function that makes one training step, on a graph and a session of its own."""
    config = setting.config()
    with tf.Graph().as_default():
        arc = tf.placeholder(tf.int32, [flat_length(setting.layers)])
        images = tf.placeholder(tf.uint8, [None, setting.size, setting.size, 3])
        labels = tf.placeholder(tf.uint8, [None, CLASSES])
        logits = general_child.search_child(
            images, arc, config.child, LayerMode("NHWC", True, 0), tf.constant([1, 2]),
            all_operations)
        step = child_update(models.cross_entropy(logits, labels), tf.trainable_variables(),
                          tf.constant(LEARNING_RATE), config.train)
        session = tf.Session(config=session_config())
        session.run(tf.global_variables_initializer())
        run = session.make_callable([step.grad_norm, step.train_op], [images, labels, arc])
    return lambda batch, architecture: run(*batch, np.array(architecture.numbers(), np.int32))
