"""The architecture of the micro search space as a value: two cells; no TensorFlow.

A network is a stack of copies of a normal cell and a reduction cell (ENAS, section 2.4). A cell of
B nodes computes B tensors from two: input 0 is the output of the layer before last, input 1 that
of the last one, input 2 + j the result of node j. A node applies an operation to each of two
inputs before it, and adds the results. Both cells are written as in the published code: node by
node input, operation, input, operation; first the normal cell, then the reduction cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from AEROBI.architecture import OPERATIONS, ArchitectureError, Operation

_BY_NAME = {operation.name: operation for operation in OPERATIONS}

# By number (ENAS, section 2.4).
CELL_OPERATIONS = (
    _BY_NAME["separable_conv_3x3"],
    _BY_NAME["separable_conv_5x5"],
    _BY_NAME["average_pooling"],
    _BY_NAME["max_pooling"],
    Operation("identity", "identity", 1),
)
# Of the paper: read from the published retraining script.
ENAS_CELLS = ("0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1 "
              "1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1")
CELL_NAMES = ("normal", "reduction")  # in the written order
CELL_INPUTS = 2
PER_NODE = 4  # numbers: input, operation, input, operation


def flat_length(num_nodes: int) -> int:
    """How many numbers the written form of two cells of `num_nodes` nodes has."""
    return len(CELL_NAMES) * PER_NODE * num_nodes


@dataclass(frozen=True)
class Cell:
    """What each node computes, from which two inputs.

    Attributes:
        inputs: of each node the numbers of its two inputs; those of node j are below j + 2.
        node_ops: of each node the number of the operation on either input.
    """

    inputs: tuple[tuple[int, int], ...]
    node_ops: tuple[tuple[int, int], ...]

    @property
    def num_nodes(self) -> int:
        """How many nodes the cell has."""
        return len(self.inputs)

    @property
    def unused(self) -> tuple[int, ...]:
        """Inputs and nodes that no node uses; their concatenation is the cell's output."""
        used = {number for pair in self.inputs for number in pair}
        return tuple(number for number in range(CELL_INPUTS + self.num_nodes)
                     if number not in used)

    def numbers(self) -> list[int]:
        """Node by node input, operation, input, operation."""
        return [number for inputs, ops in zip(self.inputs, self.node_ops)
                for pair in zip(inputs, ops) for number in pair]

    @classmethod
    def random(cls, num_nodes: int, rng: np.random.Generator, operations: int) -> "Cell":
        """Draws every input and every operation uniformly."""
        inputs = [rng.integers(CELL_INPUTS + node, size=2) for node in range(num_nodes)]
        ops = rng.integers(operations, size=[num_nodes, 2])
        return cls(_pairs(inputs), _pairs(ops))


@dataclass(frozen=True)
class MicroArchitecture:
    """The two cells that a network is made of; both have as many nodes."""

    normal: Cell
    reduction: Cell
    operations: ClassVar = CELL_OPERATIONS  # by number

    @classmethod
    def from_numbers(cls, numbers: Sequence[int], num_nodes: int) -> "MicroArchitecture":
        """Reads the numbers of the written form, in its order.

        Raises:
            ArchitectureError: wrong count, or a number outside its range.
        """
        if len(numbers) != flat_length(num_nodes):
            raise ArchitectureError(_wrong_count(len(numbers), num_nodes))
        nodes = np.array([int(number) for number in numbers]).reshape(
            len(CELL_NAMES), num_nodes, 2, 2)  # cell, node, side, (input, operation)
        for cell, name in enumerate(CELL_NAMES):
            for node in range(num_nodes):
                for number, op in nodes[cell, node]:
                    _check(name, node, number, op)
        return cls(*(Cell(_pairs(cell[..., 0]), _pairs(cell[..., 1])) for cell in nodes))

    @classmethod
    def parse(cls, text: str, num_nodes: int | None = None) -> "MicroArchitecture":
        """Reads the written form, in which any white space separates the numbers.

        Args:
            text: the written form.
            num_nodes: of each cell; without it as many as there are numbers for.

        Raises:
            ArchitectureError: says which node of which cell is wrong and what was expected there.
        """
        numbers, words = [], text.split()
        if num_nodes is None:
            num_nodes = _nodes_of_count(len(words))
        for position, word in enumerate(words):
            # int() alone would also take "1_0", "+1" and digits of other scripts.
            if not (word.isascii() and word.isdigit() and len(word) <= 4):
                name, node = _place(position, num_nodes)
                raise ArchitectureError(f"architecture, {name} cell, node {node}: {word[:20]!r} is "
                                        f"not a number; expected {_expected(node)}")
            numbers.append(int(word))
        return cls.from_numbers(numbers, num_nodes)

    @classmethod
    def random(cls, num_nodes: int, rng: np.random.Generator,
               operations: int = len(CELL_OPERATIONS)) -> "MicroArchitecture":
        """Draws every input and every operation uniformly."""
        return cls(*(Cell.random(num_nodes, rng, operations) for _ in CELL_NAMES))

    @property
    def cells(self) -> tuple[Cell, Cell]:
        """Both, in the order of `CELL_NAMES`."""
        return self.normal, self.reduction

    @property
    def num_nodes(self) -> int:
        """How many nodes each cell has."""
        return self.normal.num_nodes

    @property
    def ops(self) -> tuple[int, ...]:
        """The operation numbers of all nodes, two a node, in the written order."""
        return tuple(op for cell in self.cells for pair in cell.node_ops for op in pair)

    @property
    def skip_rate(self) -> float:
        """Always 0: cells have inputs, and no skips."""
        return 0.0

    def rows(self) -> list[tuple[int, ...]]:
        """The numbers of each cell: the lines of the log."""
        return [tuple(cell.numbers()) for cell in self.cells]

    def numbers(self) -> list[int]:
        """The numbers of the written form."""
        return [number for row in self.rows() for number in row]

    def __str__(self) -> str:
        """The written form on one line."""
        return " ".join(map(str, self.numbers()))


def _pairs(numbers: Sequence[Sequence[int]]) -> tuple[tuple[int, int], ...]:
    return tuple((int(first), int(second)) for first, second in numbers)


def _check(name: str, node: int, number: int, op: int) -> None:
    if not 0 <= number < CELL_INPUTS + node:
        raise ArchitectureError(f"architecture, {name} cell, node {node}: input {number}; "
                                f"expected {_expected(node)}")
    if not 0 <= op < len(CELL_OPERATIONS):
        raise ArchitectureError(f"architecture, {name} cell, node {node}: operation {op}; "
                                f"expected {_expected(node)}")


def _expected(node: int) -> str:
    return (f"an input (0..{CELL_INPUTS - 1 + node}) and an operation "
            f"(0..{len(CELL_OPERATIONS) - 1}), twice")


def _place(position: int, num_nodes: int) -> tuple[str, int]:
    """Cell and node that the number at a position belongs to; the last ones for those beyond."""
    node = min(position // PER_NODE, 2 * num_nodes - 1)
    return CELL_NAMES[node // num_nodes], node % num_nodes


def _nodes_of_count(count: int) -> int:
    if not count:
        raise ArchitectureError("architecture: no numbers")
    nodes, rest = divmod(count, flat_length(1))
    if rest:
        raise ArchitectureError(f"architecture: {count} numbers; two cells of B nodes have "
                                f"{flat_length(1)}B, as {flat_length(nodes + 1)} for {nodes + 1}")
    return nodes


def _wrong_count(count: int, num_nodes: int) -> str:
    expected = flat_length(num_nodes)
    if count < expected:
        name, node = _place(count, num_nodes)
        where = f"node {node} of the {name} cell is incomplete or missing"
    else:
        where = f"{count - expected} too many after the reduction cell"
    return (f"architecture of two cells of {num_nodes} nodes: {count} numbers where {expected} "
            f"are expected ({PER_NODE} a node: input, operation, input, operation); {where}")
