"""A tiny search child, compiled or not; in a process of its own `xla_child.py` prints JSON.

A CPU compiles where TF_XLA_FLAGS says so when a process first uses TensorFlow (`main`).
"""

import json
import sys

import AEROBI  # noqa: F401  (before TensorFlow: it chooses the CPU kernels)

# isort: split
import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI.architecture import Architecture
from AEROBI.config import ChildConfig
from AEROBI.general_child import search_child
from AEROBI.image_ops import LayerMode
from AEROBI.tf_setup import session_config

PRECISIONS = ("float32", "bfloat16")
ARCS = (Architecture((0, 3), ((), (1,))), Architecture((4, 1), ((), (0,))))


def describe(precision: str, xla: bool) -> dict:
    """Logits by mode and architecture, and the moving statistics that training moved.

    Args:
        precision: of the feature maps.
        xla: the session compiles.
    """
    config = ChildConfig(num_layers=2, out_filters=4, num_branches=6, num_classes=6, keep_prob=0.5,
                         precision=precision)
    images = tf.constant(np.random.default_rng(5).integers(0, 256, (4, 16, 16, 3)), tf.float32)
    arc = tf.placeholder(tf.int32, [3])
    mode = LayerMode("NHWC", False, 0, precision=precision)
    logits = {training: search_child(images, arc, config, mode._replace(is_training=training),
                                     tf.constant([1, 2])) for training in (False, True)}
    moving = [v for v in tf.global_variables() if "moving_mean" in v.op.name]
    trace, found = tf.RunMetadata(), {"logits": [], "moved": []}
    with tf.Session(config=session_config(xla)) as session:
        session.run(tf.global_variables_initializer())
        for architecture in ARCS:
            feed = {arc: architecture.numbers()}
            before = session.run(moving)
            for logits_in_mode in logits.values():
                found["logits"].append(session.run(
                    logits_in_mode, feed, tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE),
                    trace).tolist())
            found["moved"].append([v.op.name for v, old, new in zip(
                moving, before, session.run(moving)) if not np.array_equal(old, new)])
    found["compiled"] = any("xla_run" in node.node_name for device in trace.step_stats.dev_stats
                            for node in device.node_stats)
    return found


def main() -> None:
    """What is compiled, by precision."""
    found = {}
    for precision in PRECISIONS:
        with tf.Graph().as_default():
            found[precision] = describe(precision, xla=True)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
