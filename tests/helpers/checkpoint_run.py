"""A run small enough to save, kill and restore many times a second."""

import tensorflow.compat.v1 as tf

from AEROBI.run.checkpoints import Checkpoints


class Run:
    """A tiny run: `count` is what the weights say, to be compared with the position."""

    def __init__(self, directory, keep=2):
        weights = tf.get_variable("child/w", [50, 3], initializer=tf.zeros_initializer())
        count = tf.get_variable("count", [], tf.int64, initializer=tf.zeros_initializer())
        self.checkpoints = Checkpoints(str(directory), tf.global_variables(), keep)
        self._step = [weights.assign_add(tf.ones([50, 3])), count.assign_add(1)]
        self._values = [weights, count]
        self.session = tf.Session()
        self.session.run(tf.global_variables_initializer())
        tf.get_default_graph().finalize()

    def save(self, number):
        self.session.run(self._step)
        self.checkpoints.save(self.session, number, {"count": self.count(), "x": [1.5, None]})

    def count(self):
        weights, count = self.session.run(self._values)
        assert (weights == count).all()
        return int(count)

    def restore(self):
        position = self.checkpoints.restore_latest(self.session)
        if position is not None:
            assert position == {"count": self.count(), "x": [1.5, None]}
        return position
