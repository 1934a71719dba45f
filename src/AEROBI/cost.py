"""What a child costs: parameters, multiply-adds and memory, counted without building it."""

from typing import NamedTuple

from AEROBI.architecture import OPERATIONS, Architecture, reduction_layers
from AEROBI.config import ChildConfig, DataConfig

FLOAT_BYTES = 4
COPIES = 3  # of a weight: itself, its gradient, its momentum


class Cost(NamedTuple):
    """The size of one final child, and the work that it is to classify one patch."""

    parameters: int  # trainable
    multiply_adds: int  # of convolutions and the classifier, for one patch


def final_child_cost(architecture: Architecture, out_filters: int, img_size: int,
                     num_classes: int, dense_separable: bool = False) -> Cost:
    """Counts layer by layer; BN, ReLU, pooling and additions are not multiply-adds here.

    Args:
        architecture: of the final child.
        out_filters: filters of the stem; they double at each reduction.
        img_size: side of a patch in pixels.
        num_classes: width of the logits.
        dense_separable: operations 1 and 3 as plain convolutions, as the published code built
            them.
    """
    filters, side = out_filters, img_size
    kernels = [(3 * 3 * 3 * filters, side)]  # weights of a convolution, side of its output
    norms = 2 * filters
    for layer, (op, bits) in enumerate(zip(architecture.ops, architecture.skips)):
        inner = _kernels(op, filters, dense_separable)
        kernels += [(weights, side) for weights in inner]
        norms += 2 * 2 * filters * bool(inner)
        if layer:
            kernels.append(((1 + sum(bits)) * filters * filters, side))
            norms += 2 * filters
        if layer in reduction_layers(architecture.num_layers):
            stored, side = layer + 2, -(-side // 2)
            kernels += [(filters * 2 * filters, side)] * stored
            norms += stored * 2 * 2 * filters
            filters *= 2
    kernels.append((filters * num_classes, 1))
    return Cost(sum(weights for weights, _ in kernels) + norms,
                sum(weights * side * side for weights, side in kernels))


def _kernels(op: int, filters: int, dense_separable: bool) -> list[int]:
    """Weights of each convolution of an operation of a final child."""
    operation = OPERATIONS[op]
    if operation.is_pooling:
        return []
    area = operation.size ** 2
    if operation.is_separable and not dense_separable:
        return [filters * filters, area * filters, filters * filters]
    return [filters * filters, area * filters * filters]


def step_memory(child: ChildConfig, data: DataConfig) -> int:
    """Bytes that one training step needs at least: weights, and feature maps kept for backward.

    Of a search child all operations have weights, and the cheapest architecture has feature maps:
    what does not fit into memory by this figure cannot be trained.
    """
    doubles = not child.is_search and child.network == "final"
    filters, side, weights, values = child.out_filters, data.img_size, 0, 0
    for layer in range(child.num_layers):
        if child.is_search:
            weights += sum(sum(_kernels(op, filters, False)) +
                           filters * filters * OPERATIONS[op].is_pooling
                           for op in range(child.num_branches))
        # A layer's operation, and its skips or their BN; the stem before the first.
        values += 2 * filters * side * side
        if layer in reduction_layers(child.num_layers):
            stored, side = layer + 2, -(-side // 2)
            weights += stored * filters * filters * (2 if doubles else 1)
            filters *= 2 if doubles else 1
            # A convolution and its BN; of the stored tensors only the last one is surely used.
            values += 2 * filters * side * side
    width = FLOAT_BYTES if child.precision == "float32" else FLOAT_BYTES // 2
    return COPIES * FLOAT_BYTES * weights + width * data.batch_size * values
