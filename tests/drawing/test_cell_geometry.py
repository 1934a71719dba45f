"""Pictures and films of two cells: the graph written out, its layout, what the files hold."""

import io
import itertools
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from AEROBI.commands import draw
from AEROBI.drawing import animation, dag
from AEROBI.drawing.cell_geometry import graph, layout
from AEROBI.drawing.layouts import LIMIT, arrow
from AEROBI.drawing.operation_styles import DARK, LIGHT, styles_of
from AEROBI.drawing.search_frames import Stage
from AEROBI.micro.cells import CELL_INPUTS, CELL_OPERATIONS, MicroArchitecture
from AEROBI.records import published_log, search_history
from AEROBI.records.search_history import SearchHistory

# Normal cell: node 2 is conv of 0 and pooling of 1, node 3 identity of 2, twice; only 3 is unused.
# Reduction cell: nobody uses input 0, nor node 2.
TEXT = "0 0 1 3  2 4 2 4   1 1 1 2  1 0 1 4"
CELLS = MicroArchitecture.parse(TEXT)
STYLES = styles_of(CELL_OPERATIONS)


def random_cells(nodes, seed=0):
    return MicroArchitecture.random(nodes, np.random.default_rng(seed))


def rgb(colour):
    return [int(colour[start:start + 2], 16) for start in (1, 3, 5)]


def svg_groups(content):
    """Identifier -> how many shapes are drawn, over all groups of that name."""
    counts = {}
    for node in ElementTree.fromstring(content).iter():
        if node.get("id") in ("skips", "chain", "nodes"):
            counts.setdefault(node.get("id"), []).append(sum(
                child.tag.endswith(("}use", "}path")) and bool(child.get("style"))
                for child in node.iter()))
    return counts


# --- the graph -------------------------------------------------------------------------

def test_edges_written_out():
    # 0 and 1 inputs; 2 3 4 and 5 6 7 the nodes, their sums 3 and 6; 8 the output.
    normal, reduction = map(graph, CELLS.cells)
    sums = {(2, 3), (4, 3), (5, 6), (7, 6)}
    for network, chosen in ((normal, {(0, 2), (1, 4), (3, 5), (3, 7), (6, 8)}),
                            (reduction, {(1, 2), (1, 4), (1, 5), (1, 7), (0, 8), (3, 8), (6, 8)})):
        edges = {edge[:2]: edge[2] for edge in network.edges(data="skip")}
        assert {edge for edge, chosen_one in edges.items() if chosen_one} == chosen
        assert {edge for edge, chosen_one in edges.items() if not chosen_one} == sums
    assert [op for _, op in normal.nodes(data="op")] == [
        None, None, 0, None, 3, 4, None, 4, None]
    assert [kind for _, kind in normal.nodes(data="kind")] == [
        "input", "input", *["operation", "sum", "operation"] * 2, "output"]


@pytest.mark.parametrize("nodes", [1, 2, 5, 7, 12])
def test_arrows_touch_their_two_nodes_and_no_other(nodes):
    shape = layout(nodes)
    sums = [0, 1, *range(CELL_INPUTS + 1, CELL_INPUTS + 3 * nodes, 3)]
    output = CELL_INPUTS + 3 * nodes
    assert len(shape.positions) == output + 1 and shape.positions[CELL_INPUTS, 0] > 0  # clockwise
    targets = [place for place in range(CELL_INPUTS, output + 1) if place not in sums]
    pairs = [(source, target) for source, target in itertools.product(sums, targets)
             if source + 1 < target or source < CELL_INPUTS]
    for source, target in (*pairs, *shape.fixed):
        (start, control, end), head = arrow(shape, source, target)
        t = np.linspace(0, 1, 60)[:, None]
        line = np.vstack([(1 - t) ** 2 * start + 2 * t * (1 - t) * control + t ** 2 * end, head])
        away = np.linalg.norm(line[:, None] - shape.positions, axis=2) / shape.radii
        assert away[0, source] <= 1.01
        assert 1.17 < away[:, target].min() < 1.3
        others = np.delete(away, [source, target], axis=1)
        assert others.min(initial=9) > 1.17, (source, target)


@pytest.mark.parametrize("nodes", [1, 2, 5, 7, 12])
def test_nodes_are_apart(nodes):
    shape = layout(nodes)
    for a, b in itertools.combinations(range(len(shape.radii)), 2):
        distance = np.linalg.norm(shape.positions[a] - shape.positions[b])
        assert distance > 1.17 * (shape.radii[a] + shape.radii[b]), (a, b)


# --- the pictures ----------------------------------------------------------------------

@pytest.mark.parametrize("nodes", [1, 2, 5, 7, 12, 20])
def test_texts_are_on_the_picture_and_apart(nodes):
    figure = Figure(figsize=(8, 4), dpi=75)
    canvas = FigureCanvasAgg(figure)
    dag.draw_all(figure, (0, 0, 1, 1), random_cells(nodes))
    canvas.draw()
    for column, axes in enumerate(figure.axes):
        boxes = [text.get_tightbbox() for text in axes.texts]
        assert len(boxes) == (3 + 3 * nodes) + (3 + nodes) + 1  # within, beside, the title
        for box in boxes:
            assert box.x0 >= 300 * column and box.x1 <= 300 * column + 300
            assert box.y0 >= 0 and box.y1 <= 300
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_svg_says_everything_as_text():
    root = ElementTree.fromstring(dag.svg(CELLS, title="two cells"))
    texts = ["".join(node.itertext()) for node in root.iter() if node.tag.endswith("}text")]
    for text in ("normal cell", "reduction cell", "0 before last", "1 last", "Concat", "Out"):
        assert text in texts
    assert texts.count("2") == texts.count("3") == 2 and texts.count("+") == 4
    marks = {style.mark for style in STYLES}
    assert [text for text in texts if text in marks] == [
        "S3", "MP", "ID", "ID", "S5", "AP", "S3", "ID"]  # in the written order
    for style in STYLES:
        assert any(style.label in text for text in texts)
    assert not any("convolution" in text or "skip" in text for text in texts)
    title = next(node for node in root.iter() if node.tag.endswith("}title"))
    assert title.text == f"two cells ({CELLS})"


def test_svg_has_an_arrow_for_each_input_and_each_unused():
    assert svg_groups(dag.svg(CELLS)) == {"skips": [5, 7], "chain": [4, 4], "nodes": [9, 9]}


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_png_operations_have_their_colours_in_order(theme):
    cells = random_cells(5)
    image = Image.open(io.BytesIO(dag.png(cells, theme, width=600))).convert("RGB")
    assert image.width == 1200 and image.getpixel((3, 3)) == image.getpixel((1196, 3))
    shape, unit = layout(5), 600 / (2 * LIMIT)
    for column, cell in enumerate(cells.cells):
        ops = np.ravel(cell.node_ops)
        places = [place for place, mark in enumerate(shape.marks) if not mark]
        for place, op in zip(places, ops, strict=True):
            x, y = shape.positions[place]
            above = y + 0.62 * shape.radii[place]  # the mark
            found = image.getpixel((int(600 * column + 300 + x * unit), int(300 - above * unit)))
            assert np.abs(np.subtract(found, rgb(STYLES[op].colour))).max() <= 3


def test_small_png_is_that_of_the_tensorboard():
    content = dag.small_png(CELLS, "0.500 in epoch 1")
    image = Image.open(io.BytesIO(content))
    assert (image.width, image.mode) == (1200, "P") and len(content) < 60_000
    for cell in CELLS.cells:
        for op in np.ravel(cell.node_ops):
            near = np.abs(np.asarray(image.convert("RGB"), int) - rgb(STYLES[op].colour)).max(2)
            assert (near <= 3).sum() > 300


def test_cells_of_another_size_are_refused():
    drawing = dag.draw(Figure().add_axes((0, 0, 1, 1)), CELLS.normal)
    with pytest.raises(ValueError, match="3 nodes on a drawing of 2 nodes"):
        drawing.show(random_cells(3).normal)


# --- films -----------------------------------------------------------------------------

def history_of(nodes, count=30):
    rng = np.random.default_rng(1)
    return SearchHistory(tuple(random_cells(nodes, seed) for seed in range(count)),
                         rng.random(count) / 2, np.array([10.0, 20, 30]), np.array([0.1, 0.2, 0.4]))


def test_a_frame_shows_both_cells_and_does_not_depend_on_those_before():
    history = history_of(2)
    stage = Stage(history, dpi=80)
    assert stage.size == (640, 360)
    forwards = [bytes(stage.frame(index)) for index in (0, 20, 29)]
    assert forwards == [bytes(stage.frame(index)) for index in (29, 20, 0)][::-1]
    for index, frame in zip((0, 20, 29), forwards):
        pixels = np.frombuffer(frame, np.uint8).reshape(360, 640, 4)[:280, :422, :3].astype(int)
        for half, cell in zip((pixels[:, :211], pixels[:, 211:]),
                              history.architectures[index].cells):
            areas = [(np.abs(half - rgb(style.colour)).max(2) <= 1).sum() for style in STYLES]
            assert {op for op, area in enumerate(areas) if area > 90} == set(
                np.ravel(cell.node_ops))
    assert stage.marked(14)[1] == pytest.approx(0.15)


def test_texts_of_a_frame_are_on_it_and_apart():
    stage = Stage(history_of(7), DARK, dpi=80)
    stage.frame(29)
    figure = stage._figure
    texts = [text for axes in figure.axes for text in axes.texts]
    legends = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    boxes = [text.get_window_extent() for text in texts if text.get_text()]
    boxes += [legend.get_window_extent() for legend in legends]
    boxes.append(figure.axes[-1]._left_title.get_window_extent())
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= 640 and box.y1 <= 360
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_a_gif_of_a_log(tmp_path):
    lines = ["Epoch 0: Training controller"]
    for number in range(12):
        lines += published_log.architecture_lines(random_cells(3, number).rows(), number / 16)
    (tmp_path / "stdout").write_text("\n".join([*lines, "Epoch 0: Eval", "valid_accuracy: 0.5000",
                                                ""]))
    history = search_history.read(tmp_path)
    assert animation.save_gif(history, tmp_path / "search.gif", every=4) == 3
    with Image.open(tmp_path / "search.gif") as image:
        assert (image.n_frames, image.size) == (3, (640, 360))


# --- the command -----------------------------------------------------------------------

def test_the_command_tells_the_two_forms_apart(tmp_path, capsys):
    output = tmp_path / "cells.svg"
    assert draw.main(["--architecture", TEXT, "--output", str(output)]) == 0
    assert str(CELLS) in output.read_text() and "reduction cell" in output.read_text()
    either = "0 " * 120  # 15 layers, or cells of 15 nodes
    for flags, graphs in (([], 1), (["--search_for=micro"], 2), (["--search_for=macro"], 1)):
        assert draw.main(["--architecture", either, "--output", str(output), *flags]) == 0
        assert len(svg_groups(output.read_text())["nodes"]) == graphs
    capsys.readouterr()


@pytest.mark.parametrize("arguments, words", [
    (["--architecture", "0 0 0 0 2 5 0 0" + " 0" * 8], "normal cell, node 1: operation 5"),
    (["--architecture", TEXT + " 0"], "17 numbers"),
    (["--architecture", "0 0 0", "--search_for=micro"], "3 numbers; two cells"),
    (["--architecture", TEXT, "--search_for=macro"], "16 numbers; N layers"),
    (["--architecture", TEXT, "--search_for=micro", "--arc-length=2"], "--arc-length"),
    (["run", "--search_for=micro"], "--search_for: of one architecture only"),
])
def test_errors_are_one_line(arguments, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert draw.main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1 and words in output.err, output.err
    assert not list(tmp_path.iterdir())
