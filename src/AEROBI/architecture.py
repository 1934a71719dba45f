"""The architecture as a value: parse, check, write, sample; no TensorFlow.

The search space is the one for whole networks (ENAS, section 2.3); the written form is that of its
published code.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

_POOLING = ("average_pooling", "max_pooling")


class Operation(NamedTuple):
    """What a layer does to the output of the layer before it."""

    name: str
    kind: str  # "conv", "separable_conv", "average_pooling", "max_pooling" or "identity"
    size: int  # side of its kernel, in pixels

    @property
    def is_pooling(self) -> bool:
        """Whether it pools, and so has no kernel with weights."""
        return self.kind in _POOLING

    @property
    def is_separable(self) -> bool:
        """Whether it is a depthwise convolution followed by a pointwise one."""
        return self.kind == "separable_conv"


# By number (ENAS, section 2.3). Each name is defined here and nowhere else.
OPERATIONS = (
    Operation("conv_3x3", "conv", 3),
    Operation("separable_conv_3x3", "separable_conv", 3),
    Operation("conv_5x5", "conv", 5),
    Operation("separable_conv_5x5", "separable_conv", 5),
    Operation("average_pooling", "average_pooling", 3),
    Operation("max_pooling", "max_pooling", 3),
)

# Of the paper: read from the figure of ENAS-1; the string of the published retraining script.
ENAS_1 = "5 5 1 0 1 1 5 1 0 0 4 0 1 0 1 3 0 0 0 1 0 1 1 0 0 1 1 0"
SHIPPED = "0 5 0 3 1 1 4 0 0 1 4 0 0 0 0 5 1 0 0 0 0 2 0 0 0 0 0 0"


class ArchitectureError(ValueError):
    """Text or numbers that are not an architecture; the message names the layer."""


def flat_length(num_layers: int) -> int:
    """How many numbers the written form of `num_layers` layers has."""
    return num_layers * (num_layers + 1) // 2


def reduction_layers(num_layers: int) -> tuple[int, ...]:
    """The layers after which every stored tensor is halved (ENAS, figure 3)."""
    distance = num_layers // 3
    return (distance - 1, 2 * distance - 1) if distance else ()


@dataclass(frozen=True)
class Architecture:
    """Per layer its operation and the skip bits of the stored tensors before its input.

    Attributes:
        ops: the operation number of each layer.
        skips: per layer i a tuple of i bits; bit j adds in stored tensor j.
    """

    ops: tuple[int, ...]
    skips: tuple[tuple[int, ...], ...]
    operations: ClassVar = OPERATIONS  # by number

    @classmethod
    def from_numbers(cls, numbers: Sequence[int], num_layers: int) -> "Architecture":
        """Reads the numbers of the written form, in its order.

        Raises:
            ArchitectureError: wrong count, or a number outside its range.
        """
        expected = flat_length(num_layers)
        if len(numbers) != expected:
            raise ArchitectureError(_wrong_count(len(numbers), num_layers))
        ops, skips, start = [], [], 0
        for layer in range(num_layers):
            op, *bits = (int(number) for number in numbers[start:start + layer + 1])
            _check_layer(layer, op, bits)
            ops.append(op)
            skips.append(tuple(bits))
            start += layer + 1
        return cls(tuple(ops), tuple(skips))

    @classmethod
    def parse(cls, text: str, num_layers: int | None = None) -> "Architecture":
        """Reads the written form, in which any white space separates the numbers.

        Args:
            text: the written form.
            num_layers: how many layers it must have; without it as many as there are numbers for.

        Raises:
            ArchitectureError: says which layer is wrong and what was expected there.
        """
        numbers, words = [], text.split()
        if num_layers is None:
            num_layers = _layers_of_count(len(words))
        for position, word in enumerate(words):
            # int() alone would also take "1_0", "+1" and digits of other scripts.
            if not (word.isascii() and word.isdigit() and len(word) <= 4):
                layer = _layer_of(position)
                raise ArchitectureError(
                    f"architecture, layer {layer}: {word[:20]!r} is not a number; "
                    f"expected {_expected(layer)}")
            numbers.append(int(word))
        return cls.from_numbers(numbers, num_layers)

    @classmethod
    def random(cls, num_layers: int, rng: np.random.Generator, num_branches: int = 6,
               skip_probability: float = 0.5) -> "Architecture":
        """Draws each operation uniformly and each skip with the given probability."""
        ops = rng.integers(num_branches, size=num_layers)
        skips = (rng.random(layer) < skip_probability for layer in range(num_layers))
        return cls(tuple(int(op) for op in ops),
                   tuple(tuple(int(bit) for bit in bits) for bits in skips))

    @property
    def num_layers(self) -> int:
        """How many layers the architecture has, stem and classifier not counted."""
        return len(self.ops)

    @property
    def skip_rate(self) -> float:
        """Share of the possible skips that are there; 0 for a single layer."""
        possible = flat_length(self.num_layers - 1)
        return sum(map(sum, self.skips)) / possible if possible else 0.0

    def rows(self) -> list[tuple[int, ...]]:
        """Per layer (op, bit 0, ..., bit i - 1): the lines of the log."""
        return [(op, *bits) for op, bits in zip(self.ops, self.skips)]

    def numbers(self) -> list[int]:
        """The numbers of the written form: layer by layer the operation, then its skip bits."""
        return [number for row in self.rows() for number in row]

    def __str__(self) -> str:
        """The written form on one line."""
        return " ".join(map(str, self.numbers()))


def _layers_of_count(count: int) -> int:
    layers = _layer_of(count - 1) + 1 if count else 0
    if not count or flat_length(layers) != count:
        raise ArchitectureError(
            f"architecture: {count} numbers; N layers have N(N+1)/2, as {flat_length(layers)} "
            f"for {layers}" if count else "architecture: no numbers")
    return layers


def _check_layer(layer: int, op: int, bits: Sequence[int]) -> None:
    if not 0 <= op < len(OPERATIONS):
        raise ArchitectureError(
            f"architecture, layer {layer}: operation {op}; expected {_expected(layer)}")
    for j, bit in enumerate(bits):
        if bit not in (0, 1):
            raise ArchitectureError(
                f"architecture, layer {layer}: skip bit {j} is {bit}; "
                f"expected {_expected(layer)}")


def _expected(layer: int) -> str:
    bits = f" and {layer} skip bit{'s' * (layer != 1)} (0 or 1)" if layer else ""
    return f"an operation (0..{len(OPERATIONS) - 1}){bits}"


def _layer_of(position: int) -> int:
    layer = 0
    while flat_length(layer + 1) <= position:
        layer += 1
    return layer


def _wrong_count(count: int, num_layers: int) -> str:
    expected = flat_length(num_layers)
    if count < expected:
        where = f"layer {_layer_of(count)} is incomplete or missing"
    else:
        where = f"{count - expected} too many after layer {num_layers - 1}"
    return (f"architecture of {num_layers} layers: {count} numbers where {expected} are "
            f"expected (layer i has an operation and i skip bits); {where}")
