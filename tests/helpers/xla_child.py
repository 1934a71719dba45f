"""A tiny search child in a process of its own: `xla_child.py PRECISION [xla]` prints JSON.

A CPU compiles it where TF_XLA_FLAGS says so (`main`).
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

PRECISION, XLA = sys.argv[1], sys.argv[2:] == ["xla"]
ARCS = (Architecture((0, 3), ((), (1,))), Architecture((4, 1), ((), (0,))))


def main() -> None:
    """Logits by mode and architecture, and the moving statistics that training moved."""
    tf.disable_eager_execution()
    config = ChildConfig(num_layers=2, out_filters=4, num_branches=6, num_classes=6, keep_prob=0.5,
                         precision=PRECISION)
    images = tf.constant(np.random.default_rng(5).integers(0, 256, (4, 16, 16, 3)), tf.float32)
    arc = tf.placeholder(tf.int32, [3])
    mode = LayerMode("NHWC", False, 0, precision=PRECISION)
    logits = {training: search_child(images, arc, config, mode._replace(is_training=training),
                                     tf.constant([1, 2])) for training in (False, True)}
    moving = [v for v in tf.global_variables() if "moving_mean" in v.op.name]
    trace, found = tf.RunMetadata(), {"logits": [], "moved": []}
    with tf.Session(config=session_config(XLA)) as session:
        session.run(tf.global_variables_initializer())
        for one in ARCS:
            feed = {arc: one.numbers()}
            before = session.run(moving)
            for one_of_both in logits.values():
                found["logits"].append(session.run(
                    one_of_both, feed, tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE),
                    trace).tolist())
            found["moved"].append([v.op.name for v, old, new in zip(
                moving, before, session.run(moving)) if not np.array_equal(old, new)])
    found["compiled"] = any("xla_run" in node.node_name for device in trace.step_stats.dev_stats
                            for node in device.node_stats)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
