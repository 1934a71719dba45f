"""Weights out of a checkpoint."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from AEROBI.config import ChildConfig
from AEROBI.general_child import search_child
from AEROBI.image_ops import LayerMode
from AEROBI.run.checkpoints import CheckpointError, Checkpoints
from AEROBI.run.restore import Restorer, child_variables, newest_checkpoint


def child(filters: int = 4):
    images = tf.zeros([2, 12, 12, 3])
    arc = tf.constant([0, 1, 1], tf.int32)
    return search_child(images, arc, ChildConfig(2, filters, 2, 6), LayerMode("NHWC", True, 0),
                        tf.constant([0, 1]))


def saved(folder) -> dict[str, np.ndarray]:
    """Two checkpoints of a child with its optimiser; returns the weights of the second."""
    optimizer = tf.train.MomentumOptimizer(0.1, 0.9)
    step = optimizer.minimize(tf.reduce_sum(child()))
    checkpoints = Checkpoints(str(folder), tf.global_variables())
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        checkpoints.save(session, 1, {})
        session.run(step)
        checkpoints.save(session, 2, {})
        return {v.op.name: session.run(v) for v in child_variables()}


def test_the_child_alone_is_read_from_the_newest(tmp_path):
    expected = saved(tmp_path)
    assert any("moving_mean" in name for name in expected)
    assert not any("Momentum" in name for name in expected)
    with tf.Graph().as_default(), tf.Session() as session:
        child()
        Restorer(child_variables()).restore(session, newest_checkpoint(tmp_path))
        for v in child_variables():
            np.testing.assert_array_equal(session.run(v), expected[v.op.name])


def test_no_checkpoint_or_another_network_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="holds no checkpoint"):
        newest_checkpoint(tmp_path)
    saved(tmp_path)
    with tf.Graph().as_default(), tf.Session() as session:
        child(filters=6)
        with pytest.raises(CheckpointError, match="stem_conv"):
            Restorer(child_variables()).restore(session, newest_checkpoint(tmp_path))


def test_damage_names_the_file(tmp_path):
    saved(tmp_path)
    prefix = newest_checkpoint(tmp_path)
    data = next(tmp_path.glob(f"{prefix.name}.data*"))
    data.write_bytes(data.read_bytes()[:50])
    with tf.Graph().as_default(), tf.Session() as session:
        child()
        with pytest.raises(CheckpointError, match=prefix.name):
            Restorer(child_variables()).restore(session, prefix)
