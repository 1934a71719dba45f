"""Heat maps: where in a photograph a network sees each defect, drawn over it, as PNG files.

Drawing needs matplotlib, which comes with `pip install '.[viz]'`; nothing else here does.
"""

from __future__ import annotations

import io
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from AEROBI.drawing.extras import MissingExtraError, require
from AEROBI.prediction.patch_grid import HeatMap, enlarge
from AEROBI.prediction.photos import Found, PhotoError, shown
from AEROBI.run.whole_files import replace_file

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
LONGEST_NAME = 120  # characters of a file name's part
_DPI = 100
_TITLE, _GAP, _BAR, _BAR_TEXT, _HEAD = 30, 14, 18, 64, 34  # pixels


class HeatMapError(ValueError):
    """Heat maps cannot be drawn; the message says what to do."""


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


# --- files -----------------------------------------------------------------------------


class PictureFolder:
    """A folder whose files have the names of photographs, below the same subfolders."""

    def __init__(self, folder: str, force: bool):
        """Looks whether the folder will do; `make` makes it.

        Args:
            force: it may hold files already, and those of the same names are overwritten.

        Raises:
            HeatMapError: it is not empty, or no folder.
        """
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise HeatMapError(f"--heat_maps {folder}: is a file; name a folder")
        if not force and folder.is_dir() and any(folder.iterdir()):
            raise HeatMapError(f"--heat_maps {folder}: is not empty; name a new folder, or "
                               "overwrite pictures in it with --force")
        self._root = folder.resolve()
        self._used: set[str] = set()

    def make(self) -> None:
        """Makes the folder, or raises OSError."""
        self._root.mkdir(parents=True, exist_ok=True)

    def place(self, found: Found) -> Path:
        """The file for a photograph, without its suffix; never the same twice.

        a/b.jpg gives a/b; where a/b.png gave that already, a/b.jpg; then a/b.jpg-2. A folder
        whose name ends as a picture's gets another end: b.png/ beside b.jpg would be its picture.
        """
        *folders, name = found.below.split(os.sep)
        parent = self._root.joinpath(*map(_folder_name, folders))
        stem = os.path.splitext(name)[0]
        candidates = (stem, name, *(f"{name}-{k}" for k in range(2, len(self._used) + 3)))
        for candidate in candidates:
            path = parent / file_name(candidate)
            # Some file systems take A.png and a.png for the same.
            key = str(path).casefold()
            if key not in self._used:
                self._used.add(key)
                return path
        raise AssertionError("more names than were used")

    def write(self, path: Path, png: bytes) -> None:
        """Writes a picture in one piece.

        Raises:
            HeatMapError: a link leads out of the folder.
            PhotoError: a file or folder of somebody else is in its way.
            OSError: it cannot be written.
        """
        if not path.parent.resolve().is_relative_to(self._root):
            raise HeatMapError(f"{shown(str(path.parent))}: is a link that leaves the folder of "
                               "the heat maps; remove it")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, png)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise PhotoError(f"{shown(str(path))}: a file or folder there is in the way of the "
                             "heat map; remove it, or name another folder") from None


def file_name(text: str) -> str:
    """A file name from any text: no separators, no control characters, not too long."""
    name = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]', "_", text)
    name = re.sub(r"^\.+", lambda dots: "_" * len(dots[0]), name) or "_"
    return name if len(os.fsencode(name)) <= LONGEST_NAME else _shortened(name)


def _folder_name(text: str) -> str:
    name = file_name(text)
    return f"{name}_" if name.casefold().endswith(".png") else name


def distinct_file_names(texts: Sequence[str]) -> list[str]:
    """`file_name` of each; with -2, -3 and so on where two would be one file, as of a/b and a:b."""
    names: list[str] = []
    used: set[str] = set()  # some file systems take A and a for the same
    for text in texts:
        name, number = file_name(text), 1
        while name.casefold() in used:
            number += 1
            name = f"{file_name(text)}-{number}"
        used.add(name.casefold())
        names.append(name)
    return names


def _shortened(name: str) -> str:
    """Its beginning and its end, within LONGEST_NAME bytes; names stay apart by `place`."""
    coded = os.fsencode(name)
    half = LONGEST_NAME // 2 - 2
    return os.fsdecode(coded[:half]) + "..." + os.fsdecode(coded[-half:])


# --- pictures --------------------------------------------------------------------------


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
