"""Files as the published code leaves them."""

import numpy as np
import tensorflow.compat.v1 as tf


def published_checkpoint(values: dict[str, np.ndarray], folder) -> str:
    """A checkpoint as the published code writes it: with slots, averages and counters."""
    for name, value in values.items():
        tf.get_variable(name, initializer=value)
        if "moving" in name:
            tf.get_variable(f"{name}/biased", initializer=value)
            tf.get_variable(f"{name}/local_step", initializer=1.0)
        else:
            tf.get_variable(f"{name}/Momentum", initializer=value)
    tf.get_variable("child/global_step", initializer=7)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        return tf.train.Saver().save(session, str(folder / "model.ckpt"), 123)
