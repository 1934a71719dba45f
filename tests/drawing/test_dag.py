"""Pictures of architectures: the graph, its layout, the colours, and what the files hold."""

import io
import itertools
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from AEROBI.architecture import ENAS_1, OPERATIONS, Architecture
from AEROBI.drawing import dag
from AEROBI.drawing.dag_geometry import graph, layout
from AEROBI.drawing.extras import MissingExtraError, require
from AEROBI.drawing.layouts import LIMIT, arrow
from AEROBI.drawing.operation_styles import (
    DARK,
    LIGHT,
    OPERATION_STYLES,
    Theme,
    styles_of,
    text_colour,
)
from AEROBI.micro.cells import CELL_OPERATIONS

ALL_STYLES = tuple(dict.fromkeys(OPERATION_STYLES + styles_of(CELL_OPERATIONS)))
ENAS1 = Architecture.parse(ENAS_1, 7)
# The simulation of Machado, Oliveira and Fernandes (2009) at full severity, on linear RGB.
SIGHTS = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                   [0.004733, 0.691367, 0.303900]],
}


def random_architecture(layers, skip_probability=0.5):
    return Architecture.random(layers, np.random.default_rng(layers),
                               skip_probability=skip_probability)


def places(layers):
    """Positions of the nodes, and the radius that all of them have."""
    found = layout(layers)
    assert np.ptp(found.radii) == 0
    return found.positions, found.radii[0]


def linear(colour):
    values = np.array([int(colour[start:start + 2], 16) for start in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def cie_lab(light):
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = matrix @ np.clip(light, 0, 1) / [0.9505, 1, 1.089]
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def bezier(curve, points=60):
    t = np.linspace(0, 1, points)[:, None]
    return (1 - t) ** 2 * curve[0] + 2 * t * (1 - t) * curve[1] + t ** 2 * curve[2]


def pixels(content):
    return Image.open(io.BytesIO(content))


# --- the graph -------------------------------------------------------------------------

def test_edges_of_enas_1_written_out():
    network = graph(ENAS1)
    skips = {edge[:2] for edge in network.edges(data="skip") if edge[2]}
    # Layer 1 "5 1": bit 0, from node 0 to node 2; layer 2 "0 1 1": from 0 and 1 to 3; and so on.
    assert skips == {(0, 2), (0, 3), (1, 3), (0, 4), (1, 5), (3, 5), (3, 6),
                     (0, 7), (3, 7), (4, 7)}
    assert [op for _, op in network.nodes(data="op")] == [None, 5, 5, 0, 5, 4, 3, 1, None]
    assert [kind for _, kind in network.nodes(data="kind")][::8] == ["input", "sigmoid"]


@pytest.mark.parametrize("layers", [1, 2, 7, 24])
def test_edges_are_the_chain_and_the_skip_bits(layers):
    architecture = random_architecture(layers)
    bits = {(j, i + 1) for i in range(layers) for j in range(i) if architecture.skips[i][j]}
    chain = {(node, node + 1) for node in range(layers + 1)}
    edges = dict(((a, b), skip) for a, b, skip in graph(architecture).edges(data="skip"))
    assert {edge for edge, skip in edges.items() if skip} == bits
    assert {edge for edge, skip in edges.items() if not skip} == chain


@pytest.mark.parametrize("layers", [1, 3, 7, 24])
def test_arrows_touch_their_two_nodes_and_no_other(layers):
    positions, radius = places(layers)
    assert np.allclose(np.hypot(*positions.T), 1, atol=1e-6)
    assert np.allclose(positions[0], [0, 1], atol=1e-6) and positions[1, 0] > 0  # clockwise
    pairs = [(j, k) for j, k in itertools.combinations(range(layers + 2), 2)
             if k == j + 1 or k <= layers]
    for source, target in pairs:
        shaft, head = arrow(layout(layers), source, target)
        line = np.vstack([bezier(shaft), head])
        away = np.linalg.norm(line[:, None] - positions, axis=2)
        assert away[0, source] <= radius * 1.01
        assert 1.17 * radius < away[:, target].min() < 1.3 * radius  # the corner of a square
        others = np.delete(away, [source, target], axis=1)
        assert others.min(initial=9) > 1.17 * radius, (source, target)
        assert np.linalg.norm(head[0] - head[1:].mean(axis=0)) > 0.3 * radius


# --- colours ---------------------------------------------------------------------------

@pytest.mark.parametrize("sight", SIGHTS)
def test_colours_stay_apart(sight):
    colours = [cie_lab(SIGHTS[sight] @ linear(style.colour)) for style in ALL_STYLES]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(colours, 2)) > 20


def test_styles_belong_to_their_operations():
    operations = OPERATIONS + CELL_OPERATIONS
    for (name, *_), style in zip(operations, styles_of(operations), strict=True):
        assert ("separable" in name) == ("separable" in style.label)
        assert ("average" in name, "max" in name) == ("average" in style.label,
                                                      "max" in style.label)
        assert [size in style.label for size in ("3x3", "5x5")] == [
            size in name for size in ("3x3", "5x5")]
        assert ("identity" in name) == ("identity" in style.label) == style.on_corner
    assert len({style.mark for style in ALL_STYLES}) == len(ALL_STYLES) == 7


def test_marks_can_be_read_on_their_colours():
    for style in ALL_STYLES:
        text = 0.0 if text_colour(style.colour) == "black" else 1.0
        light = [text, float(np.dot([0.2126, 0.7152, 0.0722], linear(style.colour)))]
        assert (max(light) + 0.05) / (min(light) + 0.05) >= 4.5, style  # WCAG AA


# --- the pictures ----------------------------------------------------------------------

def test_svg_says_everything_as_text():
    root = ElementTree.fromstring(dag.svg(ENAS1, title="ENAS-1"))
    texts = ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("}text")]
    assert {"0 Input", "8 Sigmoid", "ENAS-1", *"1234567"} <= set(texts)
    assert sorted(text for text in texts if text in {style.mark for style in OPERATION_STYLES}) == [
        "AP", "C3", "MP", "MP", "MP", "S3", "S5"]
    for style in OPERATION_STYLES:
        assert any(style.label in text for text in texts)
    title = next(node for node in root.iter() if node.tag.endswith("}title"))
    assert title.text == f"ENAS-1 ({ENAS_1})"


def test_svg_has_an_arrow_for_each_skip():
    root = ElementTree.fromstring(dag.svg(ENAS1))
    groups = {node.get("id"): node for node in root.iter() if node.get("id")}
    for name, count in (("skips", 10), ("skip-heads", 10), ("chain", 8), ("nodes", 9)):
        drawn = [node for node in groups[name].iter() if node.tag.endswith(("}use", "}path"))
                 and node.get("style")]
        assert len(drawn) == count, name


def test_same_svg_each_time():
    assert dag.svg(ENAS1) == dag.svg(ENAS1)


def test_pdf_has_its_fonts_and_is_the_same_each_time():
    content = dag.pdf(ENAS1, DARK, "ENAS-1")
    assert content == dag.pdf(ENAS1, DARK, "ENAS-1")
    assert content.startswith(b"%PDF-") and content.rstrip().endswith(b"%%EOF")
    assert b"/FontFile2" in content


@pytest.mark.parametrize("width", [300, 1000])
def test_png_nodes_have_their_colours_in_order(width):
    image = pixels(dag.png(ENAS1, width=width)).convert("RGB")
    assert image.width == width
    positions, radius = places(7)
    unit = width / (2 * LIMIT)
    for (x, y), op in zip(positions[1:-1], ENAS1.ops):
        place = (width / 2 + x * unit, width / 2 - (y + 0.62 * radius) * unit)  # above the mark
        found = image.getpixel(tuple(int(value) for value in place))
        expected = [int(OPERATION_STYLES[op].colour[start:start + 2], 16) for start in (1, 3, 5)]
        assert np.abs(np.subtract(found, expected)).max() <= 3


@pytest.mark.parametrize("theme, corner", [
    (LIGHT, (255, 255, 255, 255)), (DARK, (0x15, 0x18, 0x1d, 255))])
def test_background(theme, corner):
    assert pixels(dag.png(ENAS1, theme, width=200)).getpixel((3, 3)) == corner


def test_transparent_background_shows_no_arrows_through_the_input():
    image = np.asarray(pixels(dag.png(ENAS1, Theme("#ff0000", "none"), width=400)))
    assert image[3, 3, 3] == 0
    positions, radius = places(7)
    unit = 400 / (2 * LIMIT)
    row = int(200 - (positions[0, 1] - 0.75 * radius) * unit)  # within the node, below its mark
    half = int(0.3 * radius * unit)
    assert image[row, 200 - half:200 + half, 3].max() == 0


def test_optimised_png_looks_the_same():
    plain, small = (dag.png(ENAS1, width=600, optimise=optimise) for optimise in (False, True))
    assert len(small) < len(plain) / 2
    difference = np.abs(np.asarray(pixels(plain).convert("RGB"), int)
                        - np.asarray(pixels(small).convert("RGB"), int))
    assert difference.max() < 64 and np.percentile(difference, 99) <= 8  # the edges of letters


@pytest.mark.parametrize("title, taller", [("ENAS-1", 0), ("architecture 150", 0),
                                           ("exact match 0.065 of one batch", 12)])
def test_a_long_title_stands_above_the_name_of_the_input(title, taller):
    image = pixels(dag.png(ENAS1, title=title, width=400)).convert("L")
    assert 0 <= image.height - 475 - taller <= 5
    dark = np.asarray(image)[:60 + taller, 150:250].min(axis=1) < 128
    begins = np.flatnonzero(dark[1:] & ~dark[:-1])  # the title if it is long, the name, the node
    assert len(begins) == (3 if taller else 2)


@pytest.mark.parametrize("layers", [1, 2, 3, 5, 6, 7, 12, 24])
def test_texts_are_on_the_picture_and_apart(layers):
    figure = Figure(figsize=(4, 4), dpi=75)
    canvas = FigureCanvasAgg(figure)
    dag.draw(figure.add_axes((0, 0, 1, 1)), random_architecture(layers))
    canvas.draw()
    boxes = [text.get_tightbbox() for text in figure.axes[0].texts]
    assert len(boxes) == 2 * (layers + 2)
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= 300 and box.y1 <= 300
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_legend_is_not_cut_off():
    figure = Figure(figsize=(4, 0.76), dpi=75)
    canvas = FigureCanvasAgg(figure)
    dag.draw_legend(figure.add_axes((0, 0, 1, 1)))
    canvas.draw()
    box = figure.axes[0].get_legend().get_window_extent()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= 300 and box.y1 <= 57


# --- on the axes of others -------------------------------------------------------------

def test_draws_on_given_axes_and_on_nothing_else():
    figure = Figure(figsize=(6, 3))
    left, right = figure.subplots(1, 2)
    right.plot([0, 1])
    drawing = dag.draw(left, ENAS1, DARK)
    assert len(right.lines) == 1 and right.axison and not left.axison
    assert [mark.get_text() for mark in drawing.marks[1:-1]] == [
        OPERATION_STYLES[op].mark for op in ENAS1.ops]


def test_another_architecture_replaces_the_one_before():
    figure = Figure(figsize=(3, 3))
    canvas = FigureCanvasAgg(figure)
    other = random_architecture(7)
    drawing = dag.draw(figure.add_axes((0, 0, 1, 1)), ENAS1)
    drawing.show(other)
    canvas.draw()
    again = Figure(figsize=(3, 3))
    fresh = FigureCanvasAgg(again)
    dag.draw(again.add_axes((0, 0, 1, 1)), other)
    fresh.draw()
    np.testing.assert_array_equal(canvas.buffer_rgba(), fresh.buffer_rgba())
    with pytest.raises(ValueError, match="8 layers"):
        drawing.show(random_architecture(8))


def test_no_pyplot_and_no_tensorflow():
    code = ("import sys; from AEROBI.drawing import dag; from AEROBI.architecture import *; "
            "dag.svg(Architecture.parse(ENAS_1, 7)); "
            "sys.exit(bool({'matplotlib.pyplot', 'tensorflow'} & set(sys.modules)))")
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_missing_library_is_one_line():
    with pytest.raises(MissingExtraError, match=r"no_such_library.*pip install '\.\[viz\]'"):
        require("no_such_library.part")
