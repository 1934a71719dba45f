"""Windows over a photograph, their average against a slow twin, and its enlargement."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from AEROBI.prediction import patch_grid
from AEROBI.prediction.patch_grid import HeatMap, average, batches, enlarge, make_grid
from AEROBI.prediction.photos import PhotoError, patch

SIDE = 24
sides = st.integers(8, 90)


def windows(grid):
    """Boxes of all windows, row by row."""
    rows, columns = grid.shape
    return [grid.box(row, column) for row in range(rows) for column in range(columns)]


def coverage(grid, width, height):
    """How many windows cover each pixel."""
    count = np.zeros((height, width), int)
    for left, top, right, bottom in windows(grid):
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
        count[top:bottom, left:right] += 1
    return count


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.none() | st.integers(1, 100), st.none() | st.integers(1, 100))
def test_every_pixel_is_covered_and_no_window_is_there_twice(width, height, size, stride):
    grid = make_grid(width, height, SIDE, size, stride)
    assert coverage(grid, width, height).min() >= 1
    assert len(set(windows(grid))) == len(windows(grid))
    assert grid.patch <= min(width, height)


@pytest.mark.parametrize("width, height, expected", [
    (4000, 3000, 750), (3000, 4000, 750), (4000, 20, 20), (300, 60, 24), (96, 96, 24)])
def test_default_windows(width, height, expected):
    grid = make_grid(width, height, SIDE)
    assert grid.patch == expected
    assert np.diff(grid.lefts).max(initial=0) <= (expected + 1) // 2


def test_the_last_window_is_flush_with_the_border():
    grid = make_grid(100, 50, SIDE, 30, 20)
    np.testing.assert_array_equal(grid.lefts, [0, 20, 40, 60, 70])
    np.testing.assert_array_equal(grid.tops, [0, 20])
    assert grid.box(1, 4) == (70, 20, 100, 50)


def test_too_many_windows():
    with pytest.raises(PhotoError, match="larger --stride or --patch_size"):
        make_grid(1000, 1000, SIDE, 24, 1)


def test_batches_are_the_evaluation_patches_of_the_windows():
    rng = np.random.default_rng(0)
    photo = Image.fromarray(rng.integers(0, 256, (70, 110, 3), dtype=np.uint8))
    grid = make_grid(*photo.size, SIDE, 40, 17)
    found = list(batches(photo, grid, SIDE, 4))
    assert {len(batch) for batch in found[:-1]} == {4}
    expected = [patch(photo.crop(box), SIDE) for box in windows(grid)]
    np.testing.assert_array_equal(np.concatenate(found), expected)


@settings(max_examples=40, deadline=None)
@given(sides, sides, st.integers(8, 90), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_average_is_that_of_the_covering_windows(width, height, size, stride, seed):
    grid = make_grid(width, height, SIDE, size, stride)
    values = np.random.default_rng(seed).random((*grid.shape, 2), np.float32)
    slow = np.zeros((height, width, 2))
    for (left, top, right, bottom), value in zip(windows(grid), values.reshape(-1, 2)):
        slow[top:bottom, left:right] += value
    slow /= coverage(grid, width, height)[..., None]
    heat_map = average(grid, values)
    assert heat_map.values.dtype == np.float32
    y, x = (centres.astype(int) for centres in (heat_map.y, heat_map.x))
    np.testing.assert_allclose(heat_map.values, slow[np.ix_(y, x)], atol=1e-6)
    # And these cells are all there is: the slow one has no other values.
    assert len(np.unique(slow[..., 0].round(9))) <= heat_map.values[..., 0].size


def test_memory_depends_on_the_windows_only():
    grid = make_grid(16_000, 12_500, 224)
    assert grid.shape == (7, 10)  # 200 megapixels
    assert average(grid, np.zeros((*grid.shape, 6), np.float32)).values.nbytes < 20_000


def test_enlarging_is_linear_between_the_centres():
    values = np.array([[0.0, 1.0], [0.5, 0.0]], np.float32)[..., None]
    heat_map = HeatMap(values, np.array([10.0, 30.0]), np.array([20.0, 60.0]))
    large = enlarge(heat_map, 0, (40, 20), 0.5)
    assert large.shape == (20, 40) and large.dtype == np.float32
    across = np.interp((np.arange(40) + 0.5) / 0.5, [20, 60], [0, 1])
    down = np.interp((np.arange(20) + 0.5) / 0.5, [10, 30], [0, 1])[:, None]
    expected = (1 - down) * across + down * 0.5 * (1 - across)
    np.testing.assert_allclose(large, expected, atol=1e-6)


def test_one_window_is_the_same_everywhere():
    grid = make_grid(30, 30, SIDE, 30)
    assert grid.shape == (1, 1)
    heat_map = average(grid, np.full((1, 1, 3), 0.25, np.float32))
    np.testing.assert_array_equal(enlarge(heat_map, 2, (15, 15), 0.5), np.full((15, 15), 0.25))


def test_limit_counts_all_windows(monkeypatch):
    monkeypatch.setattr(patch_grid, "MOST_WINDOWS", 6)
    assert make_grid(60, 40, SIDE, 20, 20).shape == (2, 3)
    with pytest.raises(PhotoError, match="4 x 2 windows"):
        make_grid(80, 40, SIDE, 20, 20)
