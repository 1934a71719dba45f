"""The kernels that one path of the search child runs, and the arithmetic in them."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from AEROBI.architecture import OPERATIONS, Architecture, Operation, reduction_layers

CHANNELS = 3


class Kernel(NamedTuple):
    """One convolution, pooling, BN or addition, by the shape of its input."""

    kind: str  # "conv", "depthwise", "average_pooling", "max_pooling", "bn" or "add"
    side: int  # of the input, pixels
    inputs: int  # channels
    outputs: int = 0  # of a convolution
    size: int = 1  # of its kernel
    stride: int = 1


def kernels(architecture: Architecture, filters: int, size: int) -> list[Kernel]:
    """In the order of the forward pass; ReLU, classifier and loss are left out."""
    side = size
    path = [Kernel("conv", side, CHANNELS, filters, 3), Kernel("bn", side, filters)]
    for layer, (op, bits) in enumerate(zip(architecture.ops, architecture.skips)):
        path += _operation(OPERATIONS[op], side, filters)
        path += [Kernel("add", side, filters)] * sum(bits)
        if layer:
            path.append(Kernel("bn", side, filters))
        if layer in reduction_layers(architecture.num_layers):
            half = -(-side // 2)
            # A factorized reduction is a 2x2 convolution (`image_ops.factorized_reduction`).
            path += [Kernel("conv", side, filters, filters, 2, 2),
                     Kernel("bn", half, filters)] * (layer + 2)
            side = half
    return path


def _operation(operation: Operation, side: int, filters: int) -> Iterator[Kernel]:
    yield Kernel("conv", side, filters, filters)
    yield Kernel("bn", side, filters)
    if operation.is_pooling:
        yield Kernel(operation.kind, side, filters, size=operation.size)
        return
    if operation.is_separable:
        yield Kernel("depthwise", side, filters, filters, operation.size)
        yield Kernel("conv", side, filters, filters)
    else:
        yield Kernel("conv", side, filters, filters, operation.size)
    yield Kernel("bn", side, filters)


def arithmetic(path: Sequence[Kernel]) -> int:
    """Multiply-adds of convolutions, and one for each value that another kernel reads."""
    total = 0
    for kernel in path:
        pixels = (-(-kernel.side // kernel.stride)) ** 2
        if kernel.kind == "conv":
            total += pixels * kernel.size ** 2 * kernel.inputs * kernel.outputs
        elif kernel.kind == "depthwise":
            total += pixels * kernel.size ** 2 * kernel.inputs
        else:
            total += pixels * kernel.size ** 2 * kernel.inputs
    return total
