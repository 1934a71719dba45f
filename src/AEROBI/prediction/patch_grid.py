"""A big photograph as a grid of overlapping windows, and the average of what they say.

The windows of an axis begin every `stride` pixels; the last one is flush with the border. The
average of the windows that cover a point changes only where a window begins or ends, so it is
computed once for each cell between such lines: exactly, and without an array of the
photograph's size.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from AEROBI.data.patches import scale
from AEROBI.prediction.photos import PhotoError

MOST_WINDOWS = 100_000  # of a photograph: a night's work for a small network


class PatchGrid(NamedTuple):
    """Windows of `patch` x `patch` pixels at every pair of a top and a left border."""

    patch: int
    tops: np.ndarray  # int64 [rows], ascending
    lefts: np.ndarray  # int64 [columns], ascending

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows and columns of windows there are."""
        return len(self.tops), len(self.lefts)

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of a window, pixels; right and bottom are outside."""
        top, left = int(self.tops[row]), int(self.lefts[column])
        return left, top, left + self.patch, top + self.patch


class HeatMap(NamedTuple):
    """values: float32 [cells_y, cells_x, classes], averages of the covering windows, 0..1;
    y, x: float64 [cells_y], [cells_x], where the cells have their centres, pixels."""

    values: np.ndarray
    y: np.ndarray
    x: np.ndarray


def make_grid(width: int, height: int, img_size: int, patch: int | None = None,
              stride: int | None = None) -> PatchGrid:
    """The windows over a photograph of width x height pixels.

    Args:
        img_size: side of the patches the network takes, pixels.
        patch: side of a window; None: a quarter of the shorter side, but at least `img_size`.
            Never more than the shorter side.
        stride: pixels from window to window; None: half a window, rounded up. Never more than
            a window.

    Raises:
        PhotoError: more than MOST_WINDOWS.
    """
    shorter = min(width, height)
    patch = min(patch or max(img_size, shorter // 4), shorter)
    stride = min(stride or -(-patch // 2), patch)
    tops, lefts = (_starts(side, patch, stride) for side in (height, width))
    if len(tops) * len(lefts) > MOST_WINDOWS:
        raise PhotoError(f"{len(lefts)} x {len(tops)} windows of {patch} pixels, at most "
                         f"{MOST_WINDOWS} in all; give a larger --stride or --patch_size")
    return PatchGrid(patch, tops, lefts)


def _starts(length: int, patch: int, stride: int) -> np.ndarray:
    starts = np.arange(0, length - patch + 1, stride)
    if starts[-1] < length - patch:
        starts = np.append(starts, length - patch)
    return starts


def batches(photo: Image.Image, grid: PatchGrid, img_size: int,
            batch_size: int, aliased: bool = False) -> Iterator[np.ndarray]:
    """All windows scaled to the network's patches, row by row: uint8 [b, S, S, 3]."""
    rows, columns = grid.shape
    for first in range(0, rows * columns, batch_size):
        numbers = range(first, min(first + batch_size, rows * columns))
        yield np.stack([
            # Cut out first: a scaling with `box` would look at pixels outside the window.
            scale(photo.crop(grid.box(*divmod(number, columns))), (img_size, img_size), aliased)
            for number in numbers])


def average(grid: PatchGrid, probabilities: np.ndarray) -> HeatMap:
    """The average of the covering windows, from float32 [rows, columns, classes]."""
    y, first_row, end_row = _cells(grid.tops, grid.patch)
    x, first_column, end_column = _cells(grid.lefts, grid.patch)
    values = _means(probabilities.astype(np.float64), first_row, end_row)
    values = _means(values.swapaxes(0, 1), first_column, end_column).swapaxes(0, 1)
    return HeatMap(values.astype(np.float32), y, x)


def _cells(starts: np.ndarray, patch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Centres of the cells of an axis, and which windows, [first, end), cover each."""
    edges = np.unique(np.concatenate([starts, starts + patch]))
    centres = (edges[:-1] + edges[1:]) / 2
    return (centres, np.searchsorted(starts + patch, centres, "right"),
            np.searchsorted(starts, centres, "right"))


def _means(values: np.ndarray, first: np.ndarray, end: np.ndarray) -> np.ndarray:
    """[n, ...] → [cells, ...]: means over the ranges of the first axis."""
    sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    return (sums[end] - sums[first]) / (end - first).reshape(-1, *[1] * (values.ndim - 1))


def enlarge(heat_map: HeatMap, class_index: int, size: tuple[int, int],
            scale: float) -> np.ndarray:
    """One class of a heat map at every pixel of a picture: float32 [height, width].

    Linear between the centres of the cells, constant outside them.

    Args:
        size: (width, height) of the picture, pixels.
        scale: pixels of the picture for one of the photograph.
    """
    (width, height), cells = size, heat_map.values[:, :, class_index]
    return _along(_along(cells, heat_map.y * scale, height).T, heat_map.x * scale, width).T


def _along(values: np.ndarray, centres: np.ndarray, length: int) -> np.ndarray:
    """[cells, m] → [length, m], linear along the first axis."""
    place = np.interp(np.arange(length) + 0.5, centres, np.arange(len(centres)))
    below = np.minimum(place.astype(np.int64), max(len(centres) - 2, 0))
    above = np.minimum(below + 1, len(centres) - 1)
    weight = (place - below).astype(np.float32)[:, None]
    return values[below] * (1 - weight) + values[above] * weight
