"""How TensorFlow is set up on this machine: graph optimiser, data format, memory, determinism."""

import os

import tensorflow
import tensorflow.compat.v1 as tf
from tensorflow.core.protobuf import rewriter_config_pb2

from AEROBI.config import ConfigError

# All of grappler's passes but `remapping`.
_PASSES_OFF = (
    "layout_optimizer", "constant_folding", "shape_optimization", "arithmetic_optimization",
    "dependency_optimization", "loop_optimization", "function_optimization",
    "implementation_selector", "scoped_allocator_optimization", "pin_to_host_optimization",
    "common_subgraph_elimination")


def session_config(xla: bool = False) -> tf.ConfigProto:
    """The configuration of every session of the project.

    Args:
        xla: compile what can be compiled (`--xla`). On a CPU this needs TF_XLA_FLAGS as well, set
            before TensorFlow is imported (`main`).

    Of the graph optimiser (grappler) only the pass that fuses convolution, BN and ReLU stays on:
    it saves a third of an evaluation. The others save nothing here and cost seconds for each set
    of fetches (scripts/studies/README.md).
    """
    config = tf.ConfigProto()
    rewrites = config.graph_options.rewrite_options
    for name in _PASSES_OFF:
        setattr(rewrites, name, rewriter_config_pb2.RewriterConfig.OFF)
    rewrites.memory_optimization = rewriter_config_pb2.RewriterConfig.NO_MEM_OPT
    rewrites.meta_optimizer_iterations = rewriter_config_pb2.RewriterConfig.ONE
    config.gpu_options.allow_growth = True
    if xla:
        config.graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.ON_1
    return config


def resolve_data_format(requested: str) -> str:
    """"NHWC" or "NCHW"; "auto" is NCHW where there is a GPU."""
    if requested != "auto":
        return requested
    return "NCHW" if tf.config.list_physical_devices("GPU") else "NHWC"


def check_memory(needed: int) -> None:
    """Refuses a training step of so many bytes where they are more than this machine has.

    Where there is a GPU nothing is said: TensorFlow does not tell how much memory it has.

    Raises:
        ConfigError: names the size, and the flags that it comes from.
    """
    if not hasattr(os, "sysconf") or tf.config.list_physical_devices("GPU"):
        return
    present = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > present:
        raise ConfigError(
            f"a training step of this network needs at least {needed / 2**30:,.1f} GiB of memory, "
            f"this machine has {present / 2**30:,.1f}: give a smaller --child_out_filters, "
            "--child_num_layers, --img_size or --batch_size")


def make_deterministic() -> None:
    """The same bits in every process on the same machine."""
    tensorflow.config.experimental.enable_op_determinism()
