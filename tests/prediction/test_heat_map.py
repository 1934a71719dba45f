"""Heat maps: what is drawn where."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from tiny_run import environment

from AEROBI.prediction import heat_map
from AEROBI.prediction.heat_map import Scene, draw_class, draw_sheet, overlay
from AEROBI.prediction.patch_grid import average, make_grid

GREY = 120


def scene(width=600, height=400, names=("Crack", "Rust"), hot=(1, 2)):
    """A grey photograph where the window `hot` shows the first class, and nothing else does."""
    grid = make_grid(width, height, 24, 100, 50)
    values = np.zeros((*grid.shape, len(names)), np.float32)
    values[(*hot, 0)] = 0.95
    photo = Image.new("RGB", (width, height), (GREY,) * 3)
    boxes = [grid.box(*hot)] + [grid.box(0, 0)] * (len(names) - 1)
    return Scene("photo.jpg", photo, average(grid, values), tuple(names),
                 values.max(axis=(0, 1)), boxes, np.full(len(names), 0.5, np.float32))


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(int)


def coloured(picture):
    """Where a picture is not grey, black or white."""
    return np.ptp(picture, axis=-1) > 12


# --- overlay ---------------------------------------------------------------------------


def test_where_the_probability_is_low_the_photograph_is_untouched():
    photo = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    values = np.full((20, 30), heat_map.FAINT - 0.01, np.float32)
    values[5:10, 5:10] = 0.9
    drawn = overlay(photo, values)
    changed = (drawn != photo).any(axis=-1)
    assert changed[5:10, 5:10].all() and changed.sum() == 25


def test_the_photograph_is_seen_through_the_colours():
    stripes = np.zeros((8, 8, 3), np.uint8)
    stripes[::2] = 200
    drawn = overlay(stripes, np.ones((8, 8), np.float32)).astype(int)
    assert (drawn[::2] - drawn[1::2] >= 80).all()


def test_more_is_brighter():
    grey = np.full((1, 101, 3), GREY, np.uint8)
    drawn = overlay(grey, np.linspace(0, 1, 101, dtype=np.float32)[None])
    brightness = drawn[0, 60:] @ [0.30, 0.59, 0.11]
    assert (np.diff(brightness) >= -0.5).all() and brightness[-1] - brightness[0] > 30


# --- pictures --------------------------------------------------------------------------


def test_the_colour_lies_where_the_window_is():
    drawn = scene()
    picture = pixels(draw_class(drawn, 0))
    left, top = heat_map._GAP, heat_map._HEAD + heat_map._TITLE
    inside = coloured(picture[top:top + 400, left:left + 600])
    y, x = (axis.mean() for axis in np.nonzero(inside))
    box = drawn.boxes[0]
    assert abs(x - (box[0] + box[2]) / 2) < 8 and abs(y - (box[1] + box[3]) / 2) < 8
    assert not coloured(pixels(draw_class(drawn, 1))[top:top + 400, left:left + 600]).any()


def test_a_frame_only_where_the_label_holds():
    drawn = scene()
    left, top, _, bottom = drawn.boxes[0]
    area = np.s_[top + heat_map._HEAD + heat_map._TITLE:, left + heat_map._GAP:]

    def edge(view):
        return pixels(draw_class(view, 0))[area][:bottom - top, :4].min() < 60

    assert edge(drawn)
    assert not edge(drawn._replace(thresholds=np.full(2, 0.96)))


def test_big_photographs_are_scaled_down_and_the_sheet_has_every_class():
    big = scene(4000, 3000)
    picture = pixels(draw_class(big, 0))
    assert picture.shape[1] - 1600 < 140 and picture.shape[0] - 1200 < 100
    sheet = pixels(draw_sheet(scene()))
    # Two grey photographs, one over the other.
    column = (sheet[:, heat_map._GAP + 595] == GREY).all(axis=-1)
    assert column.sum() == 2 * 400


@pytest.mark.parametrize("count, aspect, columns", [
    (6, 1.5, 3), (6, 0.4, 6), (6, 4.0, 2), (1, 1.0, 1), (30, 1.5, 5), (2, 0.5, 2)])
def test_panels_fill_a_sheet(count, aspect, columns):
    assert heat_map._columns(count, aspect) == columns


@pytest.mark.parametrize("width, height", [(100, 100), (110, 900), (900, 110)])
def test_odd_shapes(width, height):
    assert pixels(draw_sheet(scene(width, height, hot=(0, 0)))).shape[1] >= 300


@pytest.mark.filterwarnings("ignore:Glyph")
def test_names_are_no_formulas():
    """matplotlib would read them as mathematics, and fail."""
    names = ("$\\frac{", "a\nb", "é 裂缝" * 30, "$x^2$")
    draw_sheet(scene(names=names)._replace(name="$\\bad{\n" * 50))


def test_the_same_picture_each_time():
    assert draw_sheet(scene()) == draw_sheet(scene())


def test_without_matplotlib_one_line_says_what_to_do(tmp_path):
    """A matplotlib that fails to be imported comes first on the path."""
    (tmp_path / "matplotlib.py").write_text("raise ImportError('no')")
    Image.new("RGB", (30, 30)).save(tmp_path / "a.png")
    path = os.pathsep.join([str(tmp_path), environment()["PYTHONPATH"]])
    command = [sys.executable, "-m", "AEROBI.cli", "predict", "model", "a.png",
               "--heat_maps", "maps"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path,
                            env={**environment(), "PYTHONPATH": path})
    assert result.returncode == 2 and result.stdout == ""
    assert result.stderr.count("\n") == 1 and "pip install '.[viz]'" in result.stderr
    assert not (tmp_path / "maps").exists()
