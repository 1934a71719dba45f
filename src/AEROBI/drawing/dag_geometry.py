"""A whole network as a graph, and where its nodes lie; nothing is drawn here.

Node 0 is the input (the stem, stored tensor 0), node i + 1 is layer i (it gives stored tensor
i + 1), node N + 1 is the classifier. So skip bit j of layer i is an arrow from
node j to node i + 1.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np

from AEROBI.architecture import Architecture
from AEROBI.drawing.extras import require
from AEROBI.drawing.layouts import Label, Layout
from AEROBI.drawing.operation_styles import OPERATION_STYLES

if TYPE_CHECKING:
    from networkx import DiGraph

_NAME_FITS_BESIDE = 6  # layers from which the name of the last node fits beside it


def graph(architecture: Architecture) -> DiGraph:
    """Nodes 0..N+1 with `kind` ("input", "operation", "sigmoid") and `op`; edges with `skip`.

    Raises:
        MissingExtraError: networkx is not installed.
    """
    result = require("networkx").DiGraph()
    last = architecture.num_layers + 1
    result.add_node(0, kind="input", op=None)
    for layer, op in enumerate(architecture.ops):
        result.add_node(layer + 1, kind="operation", op=op)
    result.add_node(last, kind="sigmoid", op=None)
    result.add_edges_from(((node, node + 1) for node in range(last)), skip=False)
    result.add_edges_from(
        ((j, layer + 1) for layer, bits in enumerate(architecture.skips)
         for j, bit in enumerate(bits) if bit), skip=True)
    return result


@functools.lru_cache
def layout(num_layers: int) -> Layout:
    """Of all networks of `num_layers` layers; the chain from layer to layer is fixed.

    Raises:
        MissingExtraError: networkx is not installed.
    """
    count = num_layers + 2
    places = require("networkx").circular_layout(range(count))  # counter-clockwise from the right
    positions = np.array([places[node][::-1] for node in range(count)], float)
    radius = min(0.17, 0.67 * math.sin(math.pi / count))
    return Layout(f"{num_layers} layers", positions, np.full(count, radius),
                  ("In", *[""] * num_layers, "\N{GREEK SMALL LETTER SIGMA}"),
                  _labels(positions, radius),
                  tuple((node, node + 1) for node in range(count - 1)), OPERATION_STYLES)


def _labels(positions: np.ndarray, radius: float) -> tuple[Label, ...]:
    """The numbers of the layers, and the names of the input and the classifier."""
    num_layers = len(positions) - 2
    numbers = [Label(x, y, str(node)) for node, (x, y) in
               enumerate((1.1 + radius) * positions[1:-1], start=1)]
    x, y = positions[-1]
    if num_layers < _NAME_FITS_BESIDE:
        x, y, side = x, y + radius + 0.06, "center"
    else:
        x, y, side = (1.07 + radius) * x, (1.1 + radius) * y, "right"
    return (*numbers, Label(0, 1.06 + radius, "0 Input", vertical="bottom"),
            Label(x, y, f"{num_layers + 1} Sigmoid", side, "bottom"))
