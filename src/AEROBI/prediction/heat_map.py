"""Heat maps: where in a photograph a network sees each defect, drawn over it, as PNG files.

Drawing needs matplotlib, which comes with `pip install '.[viz]'`; nothing else here does.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from AEROBI.drawing.extras import MissingExtraError, require
from AEROBI.prediction.patch_grid import HeatMap, enlarge
from AEROBI.prediction.photos import shown
from AEROBI.prediction.picture_folder import HeatMapError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONGEST_SIDE = 1600  # pixels of a picture of one class
PANEL_SIDE, WIDEST_SHEET = 720, 4800  # pixels of a panel and of a whole sheet
SMALLEST_PANEL, TITLE_ROOM = 400, 300  # pixels: its longer side, and its width with its title
COLOUR_MAP = "plasma"  # perceptually uniform, and concrete has none of its colours
# Where colour begins and where it is full. One sure window among three that see nothing, as with
# the default stride, has an average of a quarter, and must be seen.
FAINT, FULL, OPACITY = 0.08, 0.45, 0.52
_DPI = 100
_TITLE, _GAP, _BAR, _BAR_TEXT, _HEAD = 30, 14, 18, 64, 34  # pixels


class Scene(NamedTuple):
    """What is drawn of one photograph."""

    name: str
    photo: Image.Image
    heat_map: HeatMap
    class_names: tuple[str, ...]
    maxima: np.ndarray  # float32 [classes], the largest of a window
    boxes: list[tuple[int, int, int, int]]  # of these windows: left, top, right, bottom
    thresholds: np.ndarray  # float32 [classes]


def check_matplotlib() -> None:
    """Raises HeatMapError where matplotlib is missing."""
    try:
        require("matplotlib.figure")
    except MissingExtraError as error:
        raise HeatMapError(f"--heat_maps: {error}") from None


def draw_class(scene: Scene, index: int) -> bytes:
    """A PNG: the photograph with the heat map of one class, title and colour bar."""
    photo, scale = _small(scene.photo, LONGEST_SIDE)
    width, height = photo.size
    right = max(width, TITLE_ROOM) + 2 * _GAP
    sheet = _Sheet(right + _BAR + _BAR_TEXT, height + _TITLE + _GAP + _HEAD)
    sheet.head(scene)
    _panel(sheet.axes(_GAP, _HEAD + _TITLE, width, height), scene, index, photo, scale)
    sheet.colour_bar(photo, right, _HEAD + _TITLE, height)
    return sheet.png()


def draw_sheet(scene: Scene) -> bytes:
    """A PNG: one panel a class, as `draw_class` has it, smaller."""
    count = len(scene.class_names)
    columns = _columns(count, scene.photo.width / scene.photo.height)
    photo, scale = _small(scene.photo, min(PANEL_SIDE, WIDEST_SHEET // columns))
    width, height = photo.size
    rows = -(-count // columns)
    room = max(width, TITLE_ROOM) + _GAP
    right = columns * room + _GAP
    sheet = _Sheet(right + _BAR + _BAR_TEXT, rows * (height + _TITLE) + _HEAD + _GAP)
    sheet.head(scene)
    for index in range(count):
        row, column = divmod(index, columns)
        axes = sheet.axes(_GAP + column * room,
                          _HEAD + _TITLE + row * (height + _TITLE), width, height)
        _panel(axes, scene, index, photo, scale)
    sheet.colour_bar(photo, right, _HEAD + _TITLE, rows * (height + _TITLE) - _TITLE)
    return sheet.png()


def _columns(count: int, aspect: float) -> int:
    """How many columns make the sheet about 3 : 2 and leave little of it empty."""
    def badness(columns: int) -> float:
        rows = -(-count // columns)
        return abs(math.log(columns * aspect / rows / 1.5)) + (rows * columns - count) / count

    return min(range(1, count + 1), key=badness)


def _small(photo: Image.Image, longest: int) -> tuple[Image.Image, float]:
    """Scaled to at most `longest` pixels, or up to SMALLEST_PANEL; and by how much."""
    scale = min(longest, max(SMALLEST_PANEL, *photo.size)) / max(photo.size)
    size = tuple(max(1, round(side * scale)) for side in photo.size)
    # reducing_gap: first by a whole factor, many times faster for a big photograph.
    return photo.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0), scale


def _panel(axes: Axes, scene: Scene, index: int, photo: Image.Image, scale: float) -> None:
    values = enlarge(scene.heat_map, index, photo.size, scale)
    axes.imshow(overlay(np.asarray(photo), values), interpolation="none",
                extent=(0, photo.width, photo.height, 0))
    holds = scene.maxima[index] >= scene.thresholds[index]
    if holds:
        _frame(axes, photo.size, [side * scale for side in scene.boxes[index]])
    name = shown(scene.class_names[index])
    title = f"{name if len(name) <= 40 else name[:39] + '…'}   max {scene.maxima[index]:.2f}"
    axes.set_title(title, loc="left", fontsize=11, pad=5, parse_math=False,
                   color="black" if holds else "0.45", fontweight="bold" if holds else "normal")


def _frame(axes: Axes, size: tuple[int, int], box: list[float]) -> None:
    """A thin line around a window (left, top, right, bottom), all of it inside the picture."""
    width, height = size
    left, right = np.clip([box[0], box[2]], 1.5, width - 1.5)
    top, bottom = np.clip([box[1], box[3]], 1.5, height - 1.5)
    for colour, thickness in (("black", 3.0), ("white", 1.4)):  # seen on any concrete
        axes.plot([left, right, right, left, left], [top, top, bottom, bottom, top],
                  color=colour, linewidth=thickness)
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)


def overlay(photo: np.ndarray, values: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] with the colours of `values`, float32 [h, w], 0..1, over it.

    Where the probability is below FAINT the photograph is as it was.
    """
    import matplotlib

    steps = np.linspace(0, 1, 256)
    growth = np.clip((steps - FAINT) / (FULL - FAINT), 0, 1)
    opacity = (OPACITY * growth * growth * (3 - 2 * growth))[:, None]
    colours = 255 * matplotlib.colormaps[COLOUR_MAP](steps)[:, :3]
    over, through = (opacity * colours).astype(np.float32), (1 - opacity).astype(np.float32)
    number = np.clip(values * 255, 0, 255).round().astype(np.uint8)
    return (photo * through[number] + over[number]).round().astype(np.uint8)


class _Sheet:
    """A figure laid out in pixels from the upper left corner."""

    def __init__(self, width: int, height: int):
        from matplotlib.figure import Figure

        self._size = width, height
        self._figure: Figure = Figure((width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Adds axes without ticks and frame."""
        across, down = self._size
        axes = self._figure.add_axes((left / across, 1 - (top + height) / down,
                                      width / across, height / down))
        axes.set_axis_off()
        return axes

    def head(self, scene: Scene) -> None:
        """The lines at the top: which photograph this is, and what the frames are."""
        across, down = self._size
        left, _, right, _ = scene.boxes[0]
        note = f"frame: the window ({right - left} px) with the maximum"
        room = max((across - 7 * len(note)) // 9, 8)  # characters
        name = shown(scene.name)
        name = name if len(name) <= room else "…" + name[1 - room:]
        for place, text, side in ((_GAP, name, "left"), (across - _GAP, note, "right")):
            self._figure.text(place / across, 1 - 12 / down, text, va="top", ha=side,
                              fontsize=10, color="0.3", parse_math=False)

    def colour_bar(self, photo: Image.Image, left: float, top: float, height: float) -> None:
        """The probabilities' colours as they look on this photograph."""
        axes = self.axes(left, top, _BAR, height)
        axes.set_axis_on()
        mean = np.asarray(photo).mean(axis=(0, 1)).round().astype(np.uint8)
        steps = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
        bar = overlay(np.broadcast_to(mean, (256, 1, 3)), steps)
        axes.imshow(bar, origin="lower", aspect="auto", extent=(0, 1, 0, 1))
        axes.set_xticks([])
        axes.yaxis.tick_right()
        axes.yaxis.set_label_position("right")
        axes.tick_params(labelsize=9, length=3)
        axes.set_ylabel("mean probability of the windows", fontsize=9)

    def png(self) -> bytes:
        """The picture, with nothing of the time or machine in it."""
        file = io.BytesIO()
        self._figure.savefig(file, format="png", dpi=_DPI)
        return file.getvalue()
