"""An architecture as a graph, and where its nodes and arrows lie; nothing is drawn here.

Node 0 is the input (the stem, stored tensor 0), node i + 1 is layer i (it gives stored tensor
i + 1), node N + 1 is the classifier. So skip bit j of layer i is an arrow from
node j to node i + 1.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from AEROBI.architecture import Architecture
from AEROBI.drawing.extras import require

if TYPE_CHECKING:
    from networkx import DiGraph

_BEND = 0.4  # where a skip's control point lies: 1 on the chord, 0 in the centre
_GAP = 1.22  # where an arrow ends, in radii: clear of the corners of a square node
_STEPS = 128  # of a curve, to find where it leaves a node


class Layout(NamedTuple):
    """Where the nodes are, on the unit circle."""

    positions: np.ndarray  # float64 [N + 2, 2], clockwise from the top
    radius: float  # of a node


class Arrow(NamedTuple):
    """A shaft as a quadratic Bezier curve, and its head."""

    shaft: np.ndarray  # float64 [3, 2]: start, control point, end
    head: np.ndarray  # float64 [3, 2]: tip and the two corners


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
    """Where the nodes of `num_layers` layers lie.

    Raises:
        MissingExtraError: networkx is not installed.
    """
    count = num_layers + 2
    places = require("networkx").circular_layout(range(count))  # counter-clockwise from the right
    positions = np.array([places[node][::-1] for node in range(count)], float)
    return Layout(positions, min(0.17, 0.67 * math.sin(math.pi / count)))


@functools.lru_cache(maxsize=4096)
def arrow(num_layers: int, source: int, target: int) -> Arrow:
    """The arrow to the rim of a later node; skips bend inwards, the chain is straight."""
    positions, radius = layout(num_layers)
    start, end = positions[source], positions[target]
    bend = 1.0 if target == source + 1 else _BEND
    curve = np.array([start, bend * (start + end) / 2, end])
    head_length = min(0.075, 0.6 * radius)
    # Shafts begin under a node, whatever its shape; that of the input may be transparent.
    begins = _leaves(curve, start, radius if source == 0 else 0.8 * radius)
    tip, neck = (1 - _leaves(curve[::-1], end, distance)
                 for distance in (_GAP * radius, _GAP * radius + head_length))
    along = _point(curve, tip) - _point(curve, neck)
    across = 0.42 * np.array([-along[1], along[0]])
    back = _point(curve, neck)
    head = np.array([_point(curve, tip), back + across, back - across])
    return Arrow(_part(curve, begins, neck), head)


def _point(curve: np.ndarray, t: float) -> np.ndarray:
    """The curve at t, 0..1."""
    return (1 - t) ** 2 * curve[0] + 2 * t * (1 - t) * curve[1] + t ** 2 * curve[2]


def _leaves(curve: np.ndarray, centre: np.ndarray, distance: float) -> float:
    """The t at which a curve that begins in `centre` is `distance` away from it."""
    t = np.linspace(0, 1, _STEPS)
    away = np.linalg.norm([_point(curve, value) - centre for value in t], axis=1)
    first = int(np.argmax(away >= distance))
    return float(np.interp(distance, away[first - 1:first + 1], t[first - 1:first + 1]))


def _part(curve: np.ndarray, begin: float, end: float) -> np.ndarray:
    """The piece between two t, as a curve (blossoming)."""
    weights = ((1 - begin) * (1 - end), begin * (1 - end) + end * (1 - begin), begin * end)
    middle = np.array(weights) @ curve
    return np.array([_point(curve, begin), middle, _point(curve, end)])
