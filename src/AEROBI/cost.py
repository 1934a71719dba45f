"""What a final child costs: parameters and multiply-adds, counted without building it."""

from typing import NamedTuple

from AEROBI.architecture import OPERATION_NAMES, Architecture, reduction_layers


class Cost(NamedTuple):
    """Of one final child."""

    parameters: int  # trainable
    multiply_adds: int  # of convolutions and the classifier, for one patch


def final_child_cost(architecture: Architecture, out_filters: int, img_size: int,
                     num_classes: int = 6, dense_separable: bool = False) -> Cost:
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
    """Weights of each convolution of an operation."""
    name = OPERATION_NAMES[op]
    if name.endswith("pooling"):
        return []
    size = int(name[-1])
    if name.startswith("separable") and not dense_separable:
        return [filters * filters, size * size * filters, filters * filters]
    return [filters * filters, size * size * filters * filters]
