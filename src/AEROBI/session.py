"""How a TensorFlow session is set up: threads, graph optimiser, data format."""

import tensorflow
import tensorflow.compat.v1 as tf


def session_config() -> tf.ConfigProto:
    """For every session of the project.

    The graph optimiser (grappler) is off. It rewrites sums in an order that is not the same in
    every process, which alone kept two runs from agreeing in the last bits; it takes 1 to 3
    seconds for each set of fetches; and with oneDNN's kernels a training step is not faster
    for it (README, "Determinism").
    """
    config = tf.ConfigProto()
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    config.gpu_options.allow_growth = True
    return config


def resolve_data_format(requested: str) -> str:
    """"NHWC" or "NCHW"; "auto" is NCHW where there is a GPU (SPEC 4)."""
    if requested != "auto":
        return requested
    return "NCHW" if tf.config.list_physical_devices("GPU") else "NHWC"


def make_deterministic() -> None:
    """The same bits in every process on the same machine (SPEC 12)."""
    tensorflow.config.experimental.enable_op_determinism()
