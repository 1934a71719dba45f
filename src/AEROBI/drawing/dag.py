"""Draws an architecture as the paper's appendix does: nodes on a circle, arrows for what is used.

`draw` draws a whole network or a cell onto axes of the caller, `draw_all` an architecture into a
part of a figure; `png`, `svg` and `pdf` give whole pictures with a legend.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from AEROBI.architecture import OPERATIONS, Operation
from AEROBI.drawing.extras import MissingExtraError, require
from AEROBI.drawing.layouts import LIMIT, Edge, Layout, arrow
from AEROBI.drawing.operation_styles import LIGHT, OperationStyle, Theme, styles_of, text_colour
from AEROBI.drawing.parts import Part, graph, layout, parts
from AEROBI.search_space.spaces import AnyArchitecture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure
    from matplotlib.path import Path
    from matplotlib.text import Text

_CORNER = {0: 1.0, 6: 1.07, 4: 1.16}  # circumradius by sides, for about the area of the circle
_SKIP_OPACITY = 0.6
_GRAPH_INCHES, _LEGEND_INCHES = 4.0, 0.75
_TITLE_ENDS = 1.5  # inches from the left, where the name of the input may begin
Box = tuple[float, float, float, float]  # left, bottom, width, height as shares of a figure
_METADATA = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}


class Drawing:
    """The artists of one graph on axes; `show` puts another one of the same size into them.

    Attributes:
        shapes: the artists without text that `show` changes, in the order in which they are drawn.
        marks: the texts in the nodes; the node's colour is all round them.
    """

    def __init__(self, axes: Axes, shape: Layout, theme: Theme = LIGHT):
        """Empties `axes`, makes them square and draws what all graphs of a size share.

        Raises:
            MissingExtraError: matplotlib or networkx is not installed.
        """
        collections = require("matplotlib.collections")
        self._layout, self._theme = shape, theme
        _prepare(axes)
        unit = _points_per_unit(axes)
        thin = 0.3 + 4 * shape.radii[0]  # many layers have many skips
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
        _set_arrows(line["chain"], head["chain"], shape, shape.fixed)
        self.shapes = (*self._skips, self._nodes)
        self.marks = _texts(axes, shape, theme, unit)

    def show(self, part: Part) -> None:
        """Changes the artists to those of `part`, which must be of the same size."""
        if layout(part) is not self._layout:
            raise ValueError(f"{layout(part).size} on a drawing of {self._layout.size}")
        network = graph(part)
        skips = [edge[:2] for edge in network.edges(data="skip") if edge[2]]
        _set_arrows(*self._skips, self._layout, skips)
        ops = [op for _, op in network.nodes(data="op")]
        plain = OperationStyle("", "", self._theme.background, 0)  # of what is no operation
        styles = [plain if op is None else self._layout.styles[op] for op in ops]
        self._nodes.set_paths([_node_path(self._layout, node, style.sides, style.on_corner)
                               for node, style in enumerate(styles)])
        self._nodes.set_facecolor([style.colour for style in styles])
        for text, style in zip(self.marks, styles):
            if style is not plain:
                text.set_text(style.mark)
                text.set_color(text_colour(style.colour))


def draw(axes: Axes, part: Part, theme: Theme = LIGHT) -> Drawing:
    """The graph on `axes`, which it empties; text and lines suit the size they have now.

    Raises:
        MissingExtraError: matplotlib or networkx is not installed.
    """
    drawing = Drawing(axes, layout(part), theme)
    drawing.show(part)
    return drawing


def draw_all(figure: Figure, box: Box, architecture: AnyArchitecture,
             theme: Theme = LIGHT) -> list[Drawing]:
    """The graphs of an architecture side by side on new axes, two cells with their names.

    Raises:
        MissingExtraError: matplotlib or networkx is not installed.
    """
    drawings, (left, bottom, width, height) = [], box
    found = parts(architecture)
    for column, (title, part) in enumerate(found.items()):
        axes = figure.add_axes((left + column * width / len(found), bottom, width / len(found),
                                height))
        drawings.append(draw(axes, part, theme))
        if title:
            axes.text(0, 0.01 - LIMIT, title, fontsize=0.12 * _points_per_unit(axes),
                      color=theme.foreground, ha="center", va="bottom")
    return drawings


def draw_legend(axes: Axes, theme: Theme = LIGHT, font_size: float = 8.0, columns: int = 2,
                arrows: bool = True, operations: Sequence[Operation] = OPERATIONS) -> None:
    """What marks (and arrows) mean on `axes`; the font size is in points.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    line = require("matplotlib.lines").Line2D
    shapes = {(0, False): "o", (4, False): "s", (4, True): "D", (6, False): "H"}
    handles = [line([], [], linestyle="none", marker=shapes[style.sides, style.on_corner],
                    markersize=font_size + 1 - 2 * style.on_corner,
                    markerfacecolor=style.colour, markeredgecolor=theme.foreground,
                    markeredgewidth=0.8, label=f"{style.mark}  {style.label}")
               for style in styles_of(operations)]
    if arrows:
        handles += [line([], [], color=theme.foreground, linewidth=1.7, label="layer to layer"),
                    line([], [], color=theme.foreground, linewidth=1.1, alpha=_SKIP_OPACITY,
                         label="skip connection")]
    axes.set_axis_off()
    axes.legend(handles=handles, loc="center", ncols=columns, frameon=False,
                fontsize=font_size, labelcolor=theme.foreground, handlelength=1.5,
                columnspacing=1.6, borderpad=0)


def png(architecture: AnyArchitecture, theme: Theme = LIGHT, title: str = "",
        width: int = 1200, optimise: bool = False) -> bytes:
    """A PNG of `width` pixels a graph; `optimise` stores 256 colours, a third of the size.

    Raises:
        MissingExtraError: matplotlib or networkx is not installed.
    """
    content = _picture(architecture, "png", theme, title, width / _GRAPH_INCHES)
    if not optimise:
        return content
    file = io.BytesIO()
    image = Image.open(io.BytesIO(content))
    opaque = image.getextrema()[3][0] == 255
    few = (image.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
           if opaque else image)
    few.save(file, "PNG", optimize=True)
    return file.getvalue()


def small_png(architecture: AnyArchitecture, title: str) -> bytes | None:
    """A PNG of 600 pixels a graph, 256 colours; None where matplotlib or networkx is missing."""
    try:
        return png(architecture, title=title, width=600, optimise=True)
    except MissingExtraError:
        return None


def svg(architecture: AnyArchitecture, theme: Theme = LIGHT, title: str = "") -> bytes:
    """An SVG whose texts are text; the same architecture gives the same bytes.

    Raises:
        MissingExtraError: matplotlib or networkx is not installed.
    """
    return _picture(architecture, "svg", theme, title)


def pdf(architecture: AnyArchitecture, theme: Theme = LIGHT, title: str = "") -> bytes:
    """A PDF of one page with its fonts embedded.

    Raises:
        MissingExtraError: matplotlib or networkx is not installed.
    """
    return _picture(architecture, "pdf", theme, title)


def _picture(architecture: AnyArchitecture, kind: str, theme: Theme, title: str,
             dpi: float = 72.0) -> bytes:
    graphs = len(parts(architecture))
    height = _GRAPH_INCHES + _LEGEND_INCHES
    figure = require("matplotlib.figure").Figure(
        figsize=(_GRAPH_INCHES * graphs, height), dpi=dpi, facecolor=theme.background)
    # Characters that no XML may hold would make a broken SVG file.
    title = "".join(character if character.isprintable() or character == "\n" else "\ufffd"
                    for character in title)
    words = figure.text(0.02, 0.985, title, color=theme.foreground, fontsize=9, va="top",
                        parse_math=False).get_window_extent()
    above = words.height / dpi if words.x1 > _TITLE_ENDS * dpi else 0.0
    height += above
    figure.set_size_inches(_GRAPH_INCHES * graphs, height)
    legend_height = 1 - (_GRAPH_INCHES + above) / height
    draw_all(figure, (0, legend_height, 1, _GRAPH_INCHES / height), architecture, theme)
    draw_legend(figure.add_axes((0, 0.01, 1, legend_height)), theme, columns=graphs + 1,
                arrows=graphs == 1, operations=architecture.operations)
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
    axes.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), aspect="equal")


def _points_per_unit(axes: Axes) -> float:
    """Points of print to one data unit, for texts and lines that grow with the axes."""
    return 72 * min(axes.bbox.width, axes.bbox.height) / axes.figure.dpi / (2 * LIMIT)


def _texts(axes: Axes, shape: Layout, theme: Theme, unit: float) -> list[Text]:
    """The marks within the nodes, which are returned, and the texts beside them."""
    marks = []
    for (x, y), radius, mark in zip(shape.positions, shape.radii, shape.marks):
        size = min(max(0.82 * radius, 0.067), 0.9 * radius) * unit
        marks.append(axes.text(x, y, mark, fontsize=size, fontweight="bold", zorder=5,
                               color=theme.foreground, ha="center", va="center_baseline"))
    for label in shape.labels:
        axes.text(label.x, label.y, label.text, fontsize=0.088 * unit, color=theme.foreground,
                  ha=label.horizontal, va=label.vertical)
    return marks


def _set_arrows(lines: PathCollection, heads: PathCollection, shape: Layout,
                edges: Sequence[Edge]) -> None:
    paths = [_arrow_paths(shape, *edge) for edge in edges]
    lines.set_paths([shaft for shaft, _ in paths])
    heads.set_paths([head for _, head in paths])


@functools.lru_cache(maxsize=4096)
def _arrow_paths(shape: Layout, source: int, target: int) -> tuple:
    """The shaft and the head as paths of matplotlib."""
    path = require("matplotlib.path").Path
    lines = arrow(shape, source, target)
    return (path(lines.shaft, [path.MOVETO, path.CURVE3, path.CURVE3]),
            path(lines.head[[0, 1, 2, 0]], closed=True))


@functools.lru_cache(maxsize=1024)
def _node_path(shape: Layout, node: int, sides: int, on_corner: bool) -> Path:
    """A circle, or a polygon that lies on a side or stands on a corner."""
    path = require("matplotlib.path").Path
    position, radius = shape.positions[node], shape.radii[node]
    if not sides:
        return path.circle(position, radius)
    turn = 0 if sides == 4 and not on_corner else np.pi / (4 if on_corner else 6)
    angles = 2 * np.pi * (np.arange(sides) + 0.5) / sides + turn
    corners = _CORNER[sides] * radius * np.column_stack([np.cos(angles), np.sin(angles)])
    corners += position
    return path(np.vstack([corners, corners[:1]]), closed=True)
