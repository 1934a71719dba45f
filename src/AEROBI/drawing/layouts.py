"""Where the nodes and arrows of a graph lie, whatever it is of; nothing is drawn here."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from AEROBI.drawing.operation_styles import OperationStyle

LIMIT = 1.42  # half the side of the square that is drawn: circle, nodes, names beside them
_BEND = 0.4  # where the control point of a curve lies: 1 on the chord, 0 in the centre
_GAP = 1.22  # where an arrow ends, in radii: clear of the corners of a square node
_STEPS = 128  # of a curve, to find where it leaves a node

Edge = tuple[int, int]  # source, target


class Label(NamedTuple):
    """A text beside a node, as matplotlib aligns it."""

    x: float
    y: float
    text: str
    horizontal: str = "center"
    vertical: str = "center_baseline"


@dataclass(frozen=True, eq=False)  # two are the same only if they are one: a key of caches
class Layout:
    """What all graphs of one size have in common, on and beside the unit circle.

    Attributes:
        size: in words, for messages.
        positions: float64 [nodes, 2], clockwise from the top.
        radii: float64 [nodes].
        marks: what is written into each node; "" where the mark of an operation goes.
        labels: the texts beside the nodes.
        fixed: the edges that every graph has; they are straight.
        styles: of the operations, by number.
    """

    size: str
    positions: np.ndarray
    radii: np.ndarray
    marks: tuple[str, ...]
    labels: tuple[Label, ...]
    fixed: tuple[Edge, ...]
    styles: tuple[OperationStyle, ...]


class Arrow(NamedTuple):
    """A shaft as a quadratic Bezier curve, and its head."""

    shaft: np.ndarray  # float64 [3, 2]: start, control point, end
    head: np.ndarray  # float64 [3, 2]: tip and the two corners


@functools.lru_cache(maxsize=4096)
def arrow(layout: Layout, source: int, target: int) -> Arrow:
    """The arrow to the rim of a later node; only fixed edges do not bend inwards."""
    start, end = layout.positions[source], layout.positions[target]
    radius = layout.radii[target]
    bend = 1.0 if (source, target) in layout.fixed else _BEND
    curve = np.array([start, bend * (start + end) / 2, end])
    head_length = min(0.075, 0.6 * radius)
    # Shafts begin under a node, whatever its shape; one without an operation may be transparent.
    begins = _leaves(curve, start, layout.radii[source] * (1 if layout.marks[source] else 0.8))
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
