"""What the network in a graph costs, counted operation by operation."""

import numpy as np
import tensorflow.compat.v1 as tf


def costs_of_graph() -> tuple[int, int]:
    """Trainable parameters, and multiply-adds for one patch, of the current graph."""
    multiply_adds = 0
    for op in tf.get_default_graph().get_operations():
        if op.type not in ("Conv2D", "DepthwiseConv2dNative", "MatMul"):
            continue
        weights = np.prod(op.inputs[1].shape.as_list())
        if op.type == "Conv2D" and op.inputs[1].shape[0] == 2:
            weights //= 4  # three quarters of a reduction's kernel are zeros
        positions = 1 if op.type == "MatMul" else np.prod(op.outputs[0].shape.as_list()[1:3])
        multiply_adds += weights * positions
    return sum(np.prod(v.shape.as_list()) for v in tf.trainable_variables()), multiply_adds
