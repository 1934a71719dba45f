"""Draws an architecture as the paper's appendix does: nodes on a circle, arrows for what is used.

`draw` draws onto axes of the caller, `png`, `svg` and `pdf` give whole pictures with a legend.
"""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from AEROBI.architecture import Architecture
from AEROBI.drawing.dag_geometry import arrow, graph, layout
from AEROBI.drawing.extras import MissingExtraError, require
from AEROBI.drawing.operation_styles import (
    LIGHT,
    OPERATION_STYLES,
    OperationStyle,
    Theme,
    text_colour,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.path import Path
    from matplotlib.text import Text

_LIMIT = 1.42  # half the side of the square that is drawn: circle, nodes, numbers
_CORNER = {0: 1.0, 6: 1.07, 4: 1.16}  # circumradius by sides, for about the area of the circle
_SKIP_OPACITY = 0.6
_NAME_FITS_BESIDE = 6  # layers from which the name of the last node fits beside it
_FIGURE_INCHES = (4.0, 4.75)
_METADATA = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


class Drawing:
    """The artists of one graph on axes; `show` puts another architecture of N layers into them.

    Attributes:
        shapes: the artists without text that `show` changes, in the order in which they are drawn.
        marks: the texts in the nodes; the node's colour is all round them.
    """

    def __init__(self, axes: Axes, num_layers: int,
                 theme: Theme = LIGHT):
        """Empties `axes`, makes them square and draws what all architectures share.

        Raises:
            MissingExtraError: matplotlib or networkx is not installed.
        """
        collections = require("matplotlib.collections")
        self._num_layers, self._theme = num_layers, theme
        _prepare(axes)
        unit = _points_per_unit(axes)
        thin = 0.3 + 4 * layout(num_layers).radius  # many layers have many skips
        width = {"chain": 0.021 * unit, "skip": 0.013 * thin * unit}
        line = {kind: collections.PathCollection(
            [], facecolors="none", edgecolors=theme.foreground, linewidths=width[kind],
            capstyle="butt") for kind in width}
        head = {kind: collections.PathCollection(
            [], facecolors=theme.foreground, linewidths=0) for kind in width}
        for artist in (line["skip"], head["skip"]):
            artist.set_alpha(_SKIP_OPACITY)
        self._skips = (line["skip"], head["skip"])
        self._nodes = collections.PathCollection(
            [], edgecolors=theme.foreground, linewidths=0.014 * unit)
        names = ("skips", "skip-heads", "chain", "chain-heads", "nodes")
        for order, (name, artist) in enumerate(zip(
                names, (*self._skips, line["chain"], head["chain"], self._nodes))):
            artist.set(zorder=order, gid=name)  # gid: the id of the group in an SVG
            axes.add_collection(artist, autolim=False)
        _set_arrows(line["chain"], head["chain"], num_layers,
                    [(node, node + 1) for node in range(num_layers + 1)])
        self.shapes = (*self._skips, self._nodes)
        self.marks = _texts(axes, num_layers, theme, unit)

    def show(self, architecture: Architecture) -> None:
        """Changes the artists to those of `architecture`, which has N layers as well."""
        if architecture.num_layers != self._num_layers:
            raise ValueError(f"{architecture.num_layers} layers on a drawing of "
                             f"{self._num_layers}")
        network = graph(architecture)
        skips = [edge[:2] for edge in network.edges(data="skip") if edge[2]]
        _set_arrows(*self._skips, self._num_layers, skips)
        ops = [op for _, op in network.nodes(data="op")]
        plain = OperationStyle("", "", self._theme.background, 0)  # of the input and the output
        styles = [plain if op is None else OPERATION_STYLES[op] for op in ops]
        self._nodes.set_paths([_node_path(self._num_layers, node, style.sides)
                               for node, style in enumerate(styles)])
        self._nodes.set_facecolor([style.colour for style in styles])
        for text, op in zip(self.marks[1:-1], ops[1:-1]):
            text.set_text(OPERATION_STYLES[op].mark)
            text.set_color(text_colour(OPERATION_STYLES[op].colour))


def draw(axes: Axes, architecture: Architecture,
         theme: Theme = LIGHT) -> Drawing:
    """The graph on `axes`, which it empties; text and lines suit the size they have now.

    Raises:
        MissingExtraError: matplotlib or networkx is not installed.
    """
    drawing = Drawing(axes, architecture.num_layers, theme)
    drawing.show(architecture)
    return drawing


def draw_legend(axes: Axes, theme: Theme = LIGHT, font_size: float = 8.0,
                arrows: bool = True) -> None:
    """What marks (and arrows) mean, in two columns on `axes`; the font size is in points.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    line = require("matplotlib.lines").Line2D
    shapes = {0: "o", 4: "s", 6: "H"}
    handles = [line([], [], linestyle="none", marker=shapes[style.sides], markersize=font_size + 1,
                    markerfacecolor=style.colour, markeredgecolor=theme.foreground,
                    markeredgewidth=0.8, label=f"{style.mark}  {style.label}")
               for style in OPERATION_STYLES]
    if arrows:
        handles += [line([], [], color=theme.foreground, linewidth=1.7, label="layer to layer"),
                    line([], [], color=theme.foreground, linewidth=1.1, alpha=_SKIP_OPACITY,
                         label="skip connection")]
    axes.set_axis_off()
    axes.legend(handles=handles, loc="center", ncols=2, frameon=False,
                fontsize=font_size, labelcolor=theme.foreground, handlelength=1.5,
                columnspacing=1.6, borderpad=0)


def png(architecture: Architecture, theme: Theme = LIGHT, title: str = "",
        width: int = 1200, optimise: bool = False) -> bytes:
    """A PNG of `width` pixels; `optimise` stores 256 colours, a third of the size.

    Raises:
        MissingExtraError: matplotlib or networkx is not installed.
    """
    content = _picture(architecture, "png", theme, title, width / _FIGURE_INCHES[0])
    if not optimise:
        return content
    file = io.BytesIO()
    image = Image.open(io.BytesIO(content))
    opaque = image.getextrema()[3][0] == 255
    few = (image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
           if opaque else image)
    few.save(file, "PNG", optimize=True)
    return file.getvalue()


def small_png(architecture: Architecture, title: str) -> bytes | None:
    """A PNG of 600 pixels and 256 colours; None where matplotlib or networkx is not installed."""
    try:
        return png(architecture, title=title, width=600, optimise=True)
    except MissingExtraError:
        return None


def svg(architecture: Architecture, theme: Theme = LIGHT, title: str = "") -> bytes:
    """An SVG whose texts are text; the same architecture gives the same bytes.

    Raises:
        MissingExtraError: matplotlib or networkx is not installed.
    """
    return _picture(architecture, "svg", theme, title)


def pdf(architecture: Architecture, theme: Theme = LIGHT, title: str = "") -> bytes:
    """A PDF of one page with its fonts embedded.

    Raises:
        MissingExtraError: matplotlib or networkx is not installed.
    """
    return _picture(architecture, "pdf", theme, title)


def _picture(architecture: Architecture, kind: str, theme: Theme, title: str,
             dpi: float = 72.0) -> bytes:
    figure = require("matplotlib.figure").Figure(
        figsize=_FIGURE_INCHES, dpi=dpi, facecolor=theme.background)
    graph_height = _FIGURE_INCHES[0] / _FIGURE_INCHES[1]
    draw(figure.add_axes((0, 1 - graph_height, 1, graph_height)), architecture, theme)
    draw_legend(figure.add_axes((0, 0.01, 1, 1 - graph_height)), theme)
    # Characters that no XML may hold would make a broken SVG file.
    title = "".join(character if character.isprintable() or character == "\n" else "\ufffd"
                    for character in title)
    figure.text(0.02, 0.985, title, color=theme.foreground, fontsize=9, va="top", parse_math=False)
    metadata = {"Title": f"{title} ({architecture})" if title else str(architecture)}
    file = io.BytesIO()
    # SVG: text stays text. PDF: TrueType, which printers and search understand.
    with require("matplotlib").rc_context(
            {"svg.fonttype": "none", "svg.hashsalt": "AEROBI", "pdf.fonttype": 42}):
        figure.savefig(file, format=kind, dpi=dpi, facecolor=theme.background,
                       metadata=metadata | _METADATA[kind])
    return file.getvalue()


def _prepare(axes: Axes) -> None:
    axes.clear()
    axes.set_axis_off()
    axes.set(xlim=(-_LIMIT, _LIMIT), ylim=(-_LIMIT, _LIMIT), aspect="equal")


def _points_per_unit(axes: Axes) -> float:
    """Points of print to one data unit, for texts and lines that grow with the axes."""
    return 72 * min(axes.bbox.width, axes.bbox.height) / axes.figure.dpi / (2 * _LIMIT)


def _texts(axes: Axes, num_layers: int, theme: Theme,
           unit: float) -> list[Text]:
    """The marks within the nodes, which are returned, and the numbers outside."""
    positions, radius = layout(num_layers)
    inside = {0: "In", num_layers + 1: "\N{GREEK SMALL LETTER SIGMA}"}
    size = min(max(0.82 * radius, 0.067), 0.9 * radius) * unit
    marks = [axes.text(x, y, inside.get(node, ""), fontsize=size, fontweight="bold", zorder=5,
                       color=theme.foreground, ha="center", va="center_baseline")
             for node, (x, y) in enumerate(positions)]
    style = {"fontsize": 0.088 * unit, "color": theme.foreground}
    for node, (x, y) in enumerate((1.1 + radius) * positions[1:-1], start=1):
        axes.text(x, y, node, ha="center", va="center_baseline", **style)
    axes.text(0, 1.06 + radius, "0 Input", ha="center", va="bottom", **style)
    x, y = positions[-1]
    if num_layers < _NAME_FITS_BESIDE:
        x, y, side = x, y + radius + 0.06, "center"
    else:
        x, y, side = (1.07 + radius) * x, (1.1 + radius) * y, "right"
    axes.text(x, y, f"{num_layers + 1} Sigmoid", ha=side, va="bottom", **style)
    return marks


def _set_arrows(lines: PathCollection,
                heads: PathCollection,
                num_layers: int, edges: list[tuple[int, int]]) -> None:
    paths = [_arrow_paths(num_layers, *edge) for edge in edges]
    lines.set_paths([shaft for shaft, _ in paths])
    heads.set_paths([head for _, head in paths])


@functools.lru_cache(maxsize=4096)
def _arrow_paths(num_layers: int, source: int, target: int) -> tuple:
    """The shaft and the head as paths of matplotlib."""
    path = require("matplotlib.path").Path
    shape = arrow(num_layers, source, target)
    return (path(shape.shaft, [path.MOVETO, path.CURVE3, path.CURVE3]),
            path(shape.head[[0, 1, 2, 0]], closed=True))


@functools.lru_cache(maxsize=1024)
def _node_path(num_layers: int, node: int, sides: int) -> Path:
    """A circle or a polygon that lies on a side."""
    path = require("matplotlib.path").Path
    positions, radius = layout(num_layers)
    if not sides:
        return path.circle(positions[node], radius)
    angles = 2 * np.pi * (np.arange(sides) + 0.5) / sides + (0 if sides == 4 else np.pi / 6)
    corners = _CORNER[sides] * radius * np.column_stack([np.cos(angles), np.sin(angles)])
    corners += positions[node]
    return path(np.vstack([corners, corners[:1]]), closed=True)
