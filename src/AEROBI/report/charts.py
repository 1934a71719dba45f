"""Charts of a report as inline SVG: small, without identifiers that clash, in the page's colours.

Matplotlib knows no CSS, so a chart is drawn in stand-in colours that become CSS variables of the
page. Text comes from this package alone; names from files stay in the HTML around a chart.
"""

import io
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from AEROBI.drawing import dag
from AEROBI.drawing.extras import require
from AEROBI.drawing.operation_styles import Theme
from AEROBI.drawing.parts import Part, parts
from AEROBI.report.curves import Chart, Shares
from AEROBI.search_space.spaces import AnyArchitecture

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HEAT = (0x2F / 255, 0x81 / 255, 0xD6 / 255)  # reads on white and on black; the share is its alpha
_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "report", "text.parse_math": False,
          "font.size": 8.5, "path.simplify": True, "axes.linewidth": 0.6}
_DECADES = 30  # a span from which an axis has ticks at powers of ten
_DIGITS = re.compile(r"-?\d+\.\d{3,}")


class Palette(NamedTuple):
    """The colours of a chart, by what they are for."""

    ink: str
    muted: str
    rule: str
    first: str
    second: str
    paper: str


LIGHT = Palette("#1f2328", "#5a636e", "#dfe3e8", "#0b63b5", "#b4500a", "#ffffff")  # for pictures
_STAND_INS = Palette("#010203", "#020304", "#030405", "#040506", "#050607",
                     "#060708")
_VARIABLES = {colour: f"var(--{name})" for name, colour in _STAND_INS._asdict().items()}


def line_chart(chart: Chart, mark: str) -> "Markup":
    """A chart as SVG; `mark` makes its identifiers its own."""
    return _as_svg((3.5, 2.0), mark, _summary(chart),
                   lambda axes: draw(axes, chart, _STAND_INS))


def heat_map(shares: Shares, rows: Sequence[str], mark: str, label: str, named: bool = True
             ) -> "Markup":
    """Shares over epochs, one row each.

    The margins do not depend on the rows, so that maps stand below each other.

    Args:
        shares: what is drawn.
        rows: their names, of this package.
        mark: makes its identifiers its own.
        label: what a reader hears.
        named: whether the axis below has its name.
    """
    width, left, top, bottom, row = 3.5, 1.14, 0.05, 0.34 if named else 0.2, 0.155  # inches
    height = top + row * len(rows) + bottom
    with _style():
        figure = require("matplotlib.figure").Figure(figsize=(width, height))
        axes = figure.add_axes((left / width, bottom / height, (width - left - 0.05) / width,
                                row * len(rows) / height))
        _draw_shares(axes, shares, rows, _STAND_INS)
        axes.set_xlabel("epoch" if named else "", labelpad=1)
        return themed(_saved(figure), mark, label, _VARIABLES)


def precision_recall(curves: list[tuple[str, np.ndarray, np.ndarray]], mark: str, label: str
                     ) -> "Markup":
    """(colour of the palette, recall, precision) of each curve."""
    def paint(axes: "Axes") -> None:
        _prepare(axes, _STAND_INS)
        for colour, recall, precision in curves:
            axes.plot(recall, precision, drawstyle="steps-pre", lw=1.4,
                      color=getattr(_STAND_INS, colour))
        axes.set(xlim=(0, 1.02), ylim=(0, 1.04), xlabel="recall", ylabel="precision")
    return _as_svg((2.4, 2.1), mark, label, paint)


def learning_curves(curves: list[tuple[str, Sequence[tuple[int, float]]]], mark: str, label: str
                    ) -> "Markup":
    """Exact match over epochs, a line for each candidate.

    Args:
        curves: (colour of the palette, points (epochs trained, exact match)); later ones lie
            above.
        mark: makes its identifiers its own.
        label: what a reader hears.
    """
    def paint(axes: "Axes") -> None:
        _prepare(axes, _STAND_INS)
        for colour, points in curves:
            axes.plot(*zip(*points), color=getattr(_STAND_INS, colour), marker="o", ms=2,
                      lw=1.0 if colour == "muted" else 1.6, alpha=0.6 if colour == "muted" else 1)
        axes.set(xlabel="epochs trained", ylabel="validation exact match")
    return _as_svg((5.2, 2.6), mark, label, paint)


def cost_front(costs: Sequence[int], values: Sequence[float], on_front: Sequence[bool], cost: str,
               mark: str) -> "Markup":
    """Exact match over what an architecture costs; the front is a line of steps.

    Args:
        costs: on a logarithmic axis, 1 or more.
        values: exact match of each.
        on_front: whether each is on the Pareto front.
        cost: name of the axis.
        mark: makes its identifiers its own.
    """
    x, y, best = np.asarray(costs), np.asarray(values), np.asarray(on_front, bool)
    order = np.argsort(x[best], kind="stable")

    def paint(axes: "Axes") -> None:
        _prepare(axes, _STAND_INS)
        axes.set_xscale("log")
        _plain_ticks(axes, x.max() / x.min())
        axes.scatter(x[~best], y[~best], s=9, color=_STAND_INS.muted, alpha=0.5, lw=0)
        axes.plot(x[best][order], y[best][order], drawstyle="steps-post", color=_STAND_INS.first,
                  marker="o", ms=3.5, lw=1.3)
        axes.set(xlabel=cost, ylabel="exact match")
    return _as_svg((3.5, 2.4), mark, f"Exact match over {cost} of {len(x)} architectures, "
                   f"{int(best.sum())} of them on the front", paint)


def _plain_ticks(axes: "Axes", ratio: float) -> None:
    """Numbers such as 20 k on a logarithmic axis that spans a `ratio`; its own are mathematics."""
    ticker = require("matplotlib.ticker")
    axes.xaxis.set_major_locator(
        ticker.LogLocator(numticks=5) if ratio >= _DECADES else ticker.MaxNLocator(4))
    axes.xaxis.set_major_formatter(ticker.EngFormatter())
    axes.minorticks_off()


def graphs(architecture: AnyArchitecture, mark: str) -> dict[str, "Markup"]:
    """The graphs of an architecture as SVG, by their titles; the legend is left to the page."""
    return {title: _graph(part, f"{mark}{title[:1]}", f"Graph of architecture {architecture}"
                          + (f", {title}" if title else ""))
            for title, part in parts(architecture).items()}


def _graph(part: Part, mark: str, label: str) -> "Markup":
    theme = Theme(_STAND_INS.ink, _STAND_INS.paper)
    with _style():
        figure = require("matplotlib.figure").Figure(figsize=(2.9, 2.9))
        dag.draw(figure.add_axes((0, 0, 1, 1)), part, theme)
        return themed(_saved(figure), mark, label, _VARIABLES)


def curves_picture(charts: list[Chart], suffix: str) -> bytes:
    """All charts on white as one picture, "png" or "svg"."""
    columns = 3 if len(charts) > 4 else min(2, len(charts))
    rows = -(-len(charts) // columns)
    with _style():
        figure = _figure((3.6 * columns, 2.5 * rows))
        for axes, chart in zip(figure.subplots(rows, columns, squeeze=False).flat, charts):
            draw(axes, chart, LIGHT)
            axes.set_title(chart.title, loc="left", fontsize=10, color=LIGHT.ink)
            if len(chart.lines) > 1:
                axes.legend(frameon=False, fontsize=7.5, labelcolor=LIGHT.ink)
        for axes in figure.axes[len(charts):]:
            axes.remove()
        file = io.BytesIO()
        figure.savefig(file, format=suffix, dpi=110, facecolor="white",
                       metadata={"Date": None} if suffix == "svg" else {"Software": None})
    return file.getvalue()


def themed(svg: bytes, mark: str, label: str, colours: dict[str, str]) -> "Markup":
    """A whole SVG file as part of a page.

    Args:
        svg: as matplotlib writes it.
        mark: goes before each identifier.
        label: what a reader hears; any text.
        colours: "#rrggbb" in the file -> CSS colour in the page.
    """
    markupsafe = require("markupsafe")
    text = svg.decode("utf-8")
    start = text.index("<svg")
    head, body = text[start:].split(">", 1)
    box = re.search(r'viewBox="([-\d. ]+)"', head)[1]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>\s*", "", body, flags=re.DOTALL)
    used = set(re.findall(r"#([\w.]+)[\")]", body))
    body = re.sub(r' id="([^"]*)"', lambda match: match[0] if match[1] in used else "", body)
    body = re.sub(r'\bid="', f'id="{mark}-', body)
    body = re.sub(r'((?:xlink:)?href="#|url\(#)', rf"\g<1>{mark}-", body)
    body = re.sub(r"font: ((?:bold |\d+ )?)([\d.]+px) [^;\"]*", _font, body)
    body = re.sub(r" font-family: [^;\"]*;?", "", body)  # that of the page
    body = re.sub(r"<[^>]*>", lambda tag: _DIGITS.sub(_rounded, tag[0]), body)
    for colour, variable in colours.items():
        body = re.sub(re.escape(colour), variable, body, flags=re.IGNORECASE)
    return markupsafe.Markup(
        '<svg viewBox="{}" role="img" aria-label="{}" xmlns:xlink="http://www.w3.org/1999/xlink">'
    ).format(box, label) + markupsafe.Markup(re.sub(r"\n\s*", "\n", body))


def _rounded(match: re.Match) -> str:
    """A coordinate; the texts of a chart stay as they are."""
    return f"{float(match[0]):.2f}"


def _font(match: re.Match) -> str:
    """Size and weight stay, the family is the page's."""
    weight = f"; font-weight: {match[1].strip()}" if match[1] else ""
    return f"font-size: {match[2]}{weight}"


# --- drawing -----------------------------------------------------------------------------------


def draw(axes: "Axes", chart: Chart, palette: Palette) -> None:
    """Lines and bands of a chart."""
    _prepare(axes, palette)
    for line in chart.lines:
        colour = getattr(palette, line.colour)
        if line.band is not None:
            axes.fill_between(line.x, *line.band, color=colour, alpha=0.18, lw=0)
        few = len(line.x) <= 40 and line.colour != "muted"
        axes.plot(line.x, line.y, color=colour, lw=1.3, label=line.name,
                  ls="--" if line.dashed else "-", marker="o" if few else "", ms=2.2)
    axes.set_xlabel(chart.x_label)
    low, high = axes.get_ylim()
    if 0 < low < 0.4 * high:
        axes.set_ylim(bottom=0)


def _draw_shares(axes: "Axes", shares: Shares, rows: Sequence[str], palette: Palette) -> None:
    from matplotlib.ticker import MaxNLocator
    _prepare(axes, palette)
    axes.grid(False)
    colours = np.empty((*shares.values.shape, 4))
    colours[..., :3] = HEAT
    colours[..., 3] = shares.values
    axes.imshow(colours, aspect="auto", interpolation="none")
    count = len(shares.epochs)
    places = [int(place) for place in MaxNLocator(5, integer=True).tick_values(0, count - 1)
              if 0 <= place < count]
    axes.set_xticks(places, [str(shares.epochs[place]) for place in places])
    axes.set_yticks(range(len(rows)), rows)
    axes.tick_params(axis="both", pad=2)


def _prepare(axes: "Axes", palette: Palette) -> None:
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(palette.muted)
    axes.tick_params(colors=palette.muted, labelcolor=palette.muted, length=2, width=0.6)
    axes.tick_params(axis="y", length=0)
    axes.xaxis.label.set_color(palette.muted)
    axes.yaxis.label.set_color(palette.muted)
    axes.grid(axis="y", color=palette.rule, lw=0.6)
    axes.set_axisbelow(True)
    axes.patch.set_visible(False)


@contextmanager
def _style() -> Iterator[None]:
    with require("matplotlib").rc_context(_STYLE):
        yield


def _figure(size: tuple[float, float]) -> "Figure":
    """Inches. No pyplot: nothing global is left behind."""
    return require("matplotlib.figure").Figure(figsize=size, layout="constrained")


def _as_svg(size: tuple[float, float], mark: str, label: str, paint: Callable[["Axes"], None]
            ) -> "Markup":
    with _style():
        figure = _figure(size)
        paint(figure.add_subplot())
        return themed(_saved(figure), mark, label, _VARIABLES)


def _saved(figure: "Figure") -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="svg", transparent=True)
    return file.getvalue()


def _summary(chart: Chart) -> str:
    """The ends of each line in words."""
    lines = "; ".join(f"{line.name} from {line.y[0]:.4g} to {line.y[-1]:.4g}"
                      for line in chart.lines)
    return f"{chart.title} over {chart.x_label}s: {lines}"
