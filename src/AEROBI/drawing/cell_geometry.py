"""A cell as a graph, and where its nodes lie; nothing is drawn here.

Clockwise from the top: the two inputs, then for each node of the cell its two operations with
their sum between them, and the output, which concatenates what no node uses. Beside a sum stands
the number by which later nodes name it, 2 for the first.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from AEROBI.drawing.extras import require
from AEROBI.drawing.layouts import Edge, Label, Layout
from AEROBI.drawing.operation_styles import styles_of
from AEROBI.micro.cells import CELL_INPUTS, CELL_OPERATIONS, Cell

if TYPE_CHECKING:
    from networkx import DiGraph

_NAMES = ("0 before last", "1 last", "Concat")
_NARROW = 0.55  # the arc of an input or the output; 1 is that of a node
_NARROWEST, _WIDEST = 0.36, 0.7  # in radians: their names are apart and on the picture
_APART = 2.3  # an operation from its sum, in radii
_CORNER = 1.2  # how far an operation reaches, in radii
_FILLED = 0.94  # of its arc, by a node
_SUM = 0.6  # its radius; 1 is that of an operation
_LARGEST = 0.17  # radius of an operation


def graph(cell: Cell) -> DiGraph:
    """Nodes with `kind` ("input", "operation", "sum", "output") and `op`; edges with `skip`.

    The edges that other cells do not have are skips: those into operations and into the output.

    Raises:
        MissingExtraError: networkx is not installed.
    """
    result = require("networkx").DiGraph()
    result.add_nodes_from(range(CELL_INPUTS), kind="input", op=None)
    for node, (inputs, ops) in enumerate(zip(cell.inputs, cell.node_ops)):
        first, total, second = _of_node(node)
        result.add_node(first, kind="operation", op=ops[0])
        result.add_node(total, kind="sum", op=None)
        result.add_node(second, kind="operation", op=ops[1])
        result.add_edges_from(((_place(source), place) for source, place in
                               zip(inputs, (first, second))), skip=True)
    output = _of_node(cell.num_nodes)[0]
    result.add_node(output, kind="output", op=None)
    result.add_edges_from(_into_sums(cell.num_nodes), skip=False)
    result.add_edges_from(((_place(source), output) for source in cell.unused), skip=True)
    return result


@functools.lru_cache
def layout(num_nodes: int) -> Layout:
    """Of all cells of `num_nodes` nodes; the arrows from operations to their sum are fixed."""
    narrow = _NARROW * 2 * math.pi / (num_nodes + 3 * _NARROW)
    narrow = min(max(_NARROWEST, narrow), _WIDEST)
    arc = (2 * math.pi - 3 * narrow) / num_nodes
    radius = min(_LARGEST, _FILLED * arc / (2 * (_APART + _CORNER)))
    first = 1.5 * narrow + 0.5 * arc  # of the middle of the first node
    angles = [0, narrow]
    for node in range(num_nodes):
        middle = first + node * arc
        angles += [middle - _APART * radius, middle, middle + _APART * radius]
    angles = np.array([*angles, -narrow])
    positions = np.column_stack([np.sin(angles), np.cos(angles)])
    sizes = [1] * CELL_INPUTS + [1, _SUM, 1] * num_nodes + [1]
    marks = ["In"] * CELL_INPUTS + ["", "+", ""] * num_nodes + ["Out"]
    return Layout(f"{num_nodes} nodes", positions, radius * np.array(sizes), tuple(marks),
                  _labels(positions, radius), _into_sums(num_nodes), styles_of(CELL_OPERATIONS))


def _labels(positions: np.ndarray, radius: float) -> tuple[Label, ...]:
    """The numbers of the nodes, and the names of the inputs and the output."""
    sums = (1.09 + _SUM * radius) * positions[CELL_INPUTS + 1:-1:3]
    numbers = [Label(x, y, str(number)) for number, (x, y) in enumerate(sums, start=CELL_INPUTS)]
    before_last, last, output = _NAMES
    (x1, y1), (x2, y2) = (1.08 + radius) * positions[[1, -1]]
    return (*numbers, Label(0, 1.06 + radius, before_last, vertical="bottom"),
            Label(x1, y1, last, "left"), Label(x2, y2, output, "right"))


def _of_node(node: int) -> tuple[int, int, int]:
    """Where the first operation, the sum and the second operation of a node are in the graph."""
    first = CELL_INPUTS + 3 * node
    return first, first + 1, first + 2


def _place(number: int) -> int:
    """Where in the graph is what a cell calls by a number."""
    return number if number < CELL_INPUTS else _of_node(number - CELL_INPUTS)[1]


def _into_sums(num_nodes: int) -> tuple[Edge, ...]:
    edges = []
    for node in range(num_nodes):
        first, total, second = _of_node(node)
        edges += [(first, total), (second, total)]
    return tuple(edges)
