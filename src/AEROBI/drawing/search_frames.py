"""The frames of the film of a search: the graphs beside the accuracies and operations' shares.

A figure is drawn twice, with pale and with full curves. A frame is the pale picture, the full one
left of the current architecture, and on them the few artists that move. Text, the slowest of them,
is drawn once for each wording: it lies on one colour, so its pixels can be put there again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from AEROBI.drawing.dag import Box, draw_all, draw_legend
from AEROBI.drawing.extras import require
from AEROBI.drawing.operation_styles import LIGHT, Theme, styles_of
from AEROBI.drawing.parts import parts
from AEROBI.records.search_history import SearchHistory, operation_shares, running_mean

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.text import Text

WINDOW = 50  # architectures in a running share and a running mean
INCHES = (8.0, 4.5)
_ACCENT = "#12a078"
_PALE = 0.25  # opacity of what is still to come
_SMALL = 7.5  # points


class Boxes(NamedTuple):
    """Where in a frame everything is."""

    graphs: Box
    accuracy: Box
    shares: Box
    legend: Box
    columns: int  # of the legend
    words: tuple[float, float]  # the left end of what is said of a batch, below it of the split
    names: float  # where the names of the curves begin, in widths of their chart


_BOXES = {  # by the number of graphs
    1: Boxes((0.0, 0.0, 0.5625, 1.0), (0.63, 0.62, 0.345, 0.29), (0.63, 0.27, 0.345, 0.25),
             (0.57, 0.0, 0.43, 0.155), 2, (0.016875, 0.065), -0.02),
    2: Boxes((0.0, 0.28, 0.66, 0.6), (0.70, 0.58, 0.285, 0.33), (0.70, 0.12, 0.285, 0.34),
             (0.2, 0.04, 0.44, 0.16), 2, (0.016875, 0.125), -0.17)}


class Curve(NamedTuple):
    """A curve over the number of sampled architectures."""

    x: np.ndarray  # float64 [points]
    y: np.ndarray  # float64 [points], exact match
    colour: str


class Stage:
    """A picture that can be set to any of a search's architectures.

    Attributes:
        size: width and height of a frame in pixels; even, as H.264 asks for.
    """

    def __init__(self, history: SearchHistory, theme: Theme = LIGHT, dpi: int = 120):
        """Draws everything that does not move.

        Raises:
            MissingExtraError: matplotlib or networkx is not installed.
        """
        figure = require("matplotlib.figure").Figure(
            figsize=INCHES, dpi=dpi, facecolor=theme.background)
        self._canvas = require("matplotlib.backends.backend_agg").FigureCanvasAgg(figure)
        self._history, self._figure = history, figure
        self.size = tuple(round(inches * dpi) // 2 * 2 for inches in INCHES)
        first = history.architectures[0]
        boxes = _BOXES[len(parts(first))]
        self._drawings = draw_all(figure, boxes.graphs, first, theme)
        draw_legend(figure.add_axes(boxes.legend), theme, _SMALL, boxes.columns, arrows=False,
                    operations=first.operations)
        accuracy, shares = map(figure.add_axes, (boxes.accuracy, boxes.shares))
        self._curves, curve_artists = _accuracies(accuracy, history, theme, boxes.names)
        share_artists = _shares(shares, history, theme)
        self._written: dict[tuple[Text, str], tuple[tuple[slice, slice], np.ndarray]] = {}
        self._add_words(boxes.words, theme)
        self._add_moving(accuracy, shares, theme)
        self._pale, self._full = (
            self._picture([*curve_artists, *share_artists], opacity) for opacity in (_PALE, 1.0))

    def frame(self, index: int) -> memoryview:
        """Architecture `index` (from 0) as uint8 RGBA [height, width, 4], valid until the next."""
        buffer = np.asarray(self._canvas.buffer_rgba())
        buffer[:] = self._pale
        now = self._column(index + 1.5)
        start = self._column(0.5)
        buffer[:, start:now] = self._full[:, start:now]
        self._move(index)
        for artist in self._shapes:
            artist.axes.draw_artist(artist)
        for text in self._texts:
            self._draw_text(buffer, text)
        return self._canvas.buffer_rgba()

    def marked(self, index: int) -> list[float]:
        """Where each curve is marked in frame `index`; NaN before its first and after its last."""
        return [float(np.interp(index + 1, curve.x, curve.y, np.nan, np.nan))
                for curve in self._curves]

    def _add_words(self, place: tuple[float, float], theme: Theme) -> None:
        (x, y), axes = place, self._figure.axes[0]
        self._title, self._batch, self._valid = (
            axes.text(x, height, "", transform=self._figure.transFigure, fontsize=size,
                      parse_math=False, color=theme.foreground)
            for height, size in ((0.956, 9.0), (y, 8.5), (y - 0.035, 8.5)))

    def _add_moving(self, accuracy: Axes, shares: Axes, theme: Theme) -> None:
        self._cursors = [axes.axvline(1, color=theme.foreground, linewidth=0.8)
                         for axes in ([accuracy, shares] if self._curves else [shares])]
        self._points = [
            accuracy.plot([], [], "o", markersize=5.5, color=curve.colour, clip_on=False,
                          markeredgecolor=theme.foreground)[0] for curve in self._curves]
        graphs = self._drawings
        self._shapes = [*(shape for graph in graphs for shape in graph.shapes),
                        *self._cursors, *self._points]
        self._texts = [*(mark for graph in graphs for mark in graph.marks),
                       self._title, self._batch, self._valid]
        for artist in (*self._shapes, *self._texts):
            artist.set_animated(True)

    def _move(self, index: int) -> None:
        history, now = self._history, index + 1
        for drawing, part in zip(self._drawings, parts(history.architectures[index]).values()):
            drawing.show(part)
        self._title.set_text(f"architecture {now} of {len(history.architectures)}")
        batch = history.batch_accuracy[index]
        self._batch.set_text(
            f"{history.printed_with:<11s} {batch:.3f}" if np.isfinite(batch) else "")
        known = history.valid_accuracy[history.evaluated_after <= now]
        self._valid.set_text(f"validation  {known[-1]:.3f}" if len(known) else "")
        for cursor in self._cursors:
            cursor.set_xdata([now, now])
        for point, value in zip(self._points, self.marked(index)):
            point.set_data([now], [value])

    def _draw_text(self, buffer: np.ndarray, text: Text) -> None:
        """Into `buffer`; from the pixels of the same words there before, but for the title."""
        key = (text, text.get_text())
        if key in self._written:
            place, pixels = self._written[key]
            buffer[place] = pixels
            return
        text.axes.draw_artist(text)
        if text is not self._title and text.get_text():
            box = text.get_window_extent()
            (left, bottom), (right, top) = (
                np.floor(box.min).astype(int), np.ceil(box.max).astype(int))
            place = (slice(len(buffer) - top, len(buffer) - bottom), slice(left, right))
            self._written[key] = place, buffer[place].copy()

    def _picture(self, artists: Sequence[Artist], opacity: float) -> np.ndarray:
        """The whole figure with these artists at an opacity, as uint8 [height, width, 4]."""
        for artist in artists:
            artist.set_alpha(opacity)
        self._canvas.draw()
        return np.array(self._canvas.buffer_rgba())

    def _column(self, x: float) -> int:
        """The pixel column of a number of architectures."""
        return round(self._figure.axes[-1].transData.transform((x, 0))[0])


def _accuracies(axes: Axes, history: SearchHistory, theme: Theme,
                names: float) -> tuple[list[Curve], list[Artist]]:
    """Draws what accuracies there are; returns the curves among them, and all artists."""
    count = len(history.architectures)
    x = np.arange(1, count + 1)
    curves, artists = [], []
    if np.isfinite(history.batch_accuracy).any():
        curves.append(Curve(x, running_mean(history.batch_accuracy, WINDOW), _ACCENT))
        artists += axes.plot(x, history.batch_accuracy, "o", markeredgewidth=0, color="#8b949e",
                             markersize=2.2 if count <= 500 else 1.3, label=history.printed_with)
        artists += axes.plot(*curves[-1][:2], color=_ACCENT, linewidth=1.5,
                             label=f"mean of {WINDOW}")
    if len(history.valid_accuracy):
        curves.append(Curve(history.evaluated_after, history.valid_accuracy, theme.foreground))
        marker = "D" if len(history.valid_accuracy) <= 40 else ""
        artists += axes.plot(*curves[-1][:2], color=theme.foreground, linewidth=1.2,
                             marker=marker, markersize=3, label="validation")
    _plain_axes(axes, count, theme)
    axes.tick_params(labelbottom=False)
    axes.set_ylabel("exact match", fontsize=_SMALL)
    if not artists:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no accuracies given", transform=axes.transAxes, ha="center",
                  color=theme.foreground, fontsize=_SMALL)
        return curves, artists
    top = max(np.nanmax(line.get_ydata()) for line in artists) or 1.0
    axes.set_ylim(-0.03 * top, 1.05 * top)
    axes.legend(loc="lower left", bbox_to_anchor=(names, 0.98), ncols=3, frameon=False,
                fontsize=_SMALL, labelcolor=theme.foreground, handlelength=1.3,
                columnspacing=1.2, borderpad=0.2, markerscale=1.5)
    return curves, artists


def _shares(axes: Axes, history: SearchHistory, theme: Theme) -> list[Artist]:
    """The running share of each operation as stacked areas, the first one on top."""
    shares = operation_shares(history.architectures, WINDOW)
    edges = np.arange(len(shares) + 1) + 0.5
    steps = np.vstack([shares, shares[-1:]]).T[::-1]
    styles = styles_of(history.architectures[0].operations)
    areas = axes.stackplot(edges, steps, colors=[style.colour for style in styles[::-1]],
                           step="post", linewidth=0)
    _plain_axes(axes, len(shares), theme)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set_title(f"operations in the last {WINDOW} architectures", fontsize=_SMALL + 0.5,
                   color=theme.foreground, loc="left", pad=4)
    axes.set_xlabel("architectures sampled", fontsize=_SMALL, labelpad=2)
    return areas


def _plain_axes(axes: Axes, count: int, theme: Theme) -> None:
    """Two spines, small ticks, from the first to the last architecture."""
    axes.set_facecolor("none")
    axes.set_xlim(0.5, count + 0.5)
    axes.xaxis.set_major_locator(
        require("matplotlib.ticker").MaxNLocator(5, integer=True, min_n_ticks=1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(theme.foreground)
    axes.tick_params(colors=theme.foreground, labelsize=_SMALL, length=2.5)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(theme.foreground)
