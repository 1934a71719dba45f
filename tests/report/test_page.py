"""Reports of small runs: what is in them, what must not be, and the numbers behind the charts."""

import base64
import collections
import dataclasses
import io
import math
import os
import pathlib
import re
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from report_runs import (
    CELLS,
    EPOCHS,
    NAMES,
    OF_CELLS,
    WHOLE,
    write_final,
    write_ranking,
    write_search,
)
from sklearn.metrics import precision_recall_curve

from AEROBI.architecture import Architecture
from AEROBI.commands import report as report_command
from AEROBI.records import split_predictions
from AEROBI.records.run_records import Sampled, read_run
from AEROBI.records.split_predictions import Predictions
from AEROBI.report import page
from AEROBI.report.charts import line_chart
from AEROBI.report.choices import choices_in_cells, choices_in_layers
from AEROBI.report.curves import (
    MOST_COLUMNS,
    Chart,
    Line,
    curves,
    ranked,
    shares_over_epochs,
    thinned,
)
from AEROBI.report.label_tables import pairs
from AEROBI.report.sections import MOST_LABELS
from AEROBI.report.wrong_images import SIDE, inside, most_wrong, wrong_images
from AEROBI.scoring.metrics import average_precision, precision_recall

SOURCE = pathlib.Path(page.__file__).parents[2]
HOSTILE = "<script>alert(1)</script>", "$\\frac{", "'\"><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds a search, a final training with hostile names, and their reports."""
    path = tmp_path_factory.mktemp("reports")
    write_search(path / "search", config={"data_path": HOSTILE[0]})
    write_final(path / "final", HOSTILE, config={HOSTILE[2]: HOSTILE[0]})
    write_search(path / "cells", config={"data_path": HOSTILE[0]}, space=CELLS)
    page.report(path / "search")
    page.report(path / "cells")
    page.report(path / "final", path / "elsewhere.html")
    return path


@pytest.fixture(scope="module")
def search(folder):
    return (folder / "search" / "report.html").read_text()


@pytest.fixture(scope="module")
def cells(folder):
    return (folder / "cells" / "report.html").read_text()


@pytest.fixture(scope="module")
def final(folder):
    return (folder / "elsewhere.html").read_text()


def sections(text):
    return re.findall(r'<section id="([\w-]+)"', text)


# --- the page ----------------------------------------------------------------------------------


def test_sections_of_a_search(search):
    assert sections(search) == ["curves", "choices", "architectures", "configuration"]
    for title in ("Loss", "Learning rate", "Exact match", "Reward and baseline",
                  "Entropy of the controller", "Skip rate"):
        assert f"<b>{title}</b>" in search
    assert f"{EPOCHS} of {EPOCHS}" in search and "noisy estimate" in search


def test_a_search_of_cells(cells):
    assert sections(cells) == ["curves", "choices", "architectures", "configuration"]
    assert "Skip rate" not in cells and "Entropy of the controller" in cells
    for cell in ("normal", "reduction"):
        assert f"<h3>{cell.capitalize()} cell</h3>" in cells
        for node in range(2, 2 + CELLS.num_cells):
            for what in ("operation in", "input into"):
                assert f"Share of each {what} node {node} of the {cell} cell over epochs" in cells
    assert "Chance is 20 %" in cells and ">identity</text>" in cells
    assert ">ID</b>identity" in cells and "3x3 convolution" not in cells
    strings = re.findall(r'data-copy="([^"]+)"', cells)
    assert len(strings) == 8 and CELLS.parse(strings[0])
    graphs = re.findall(r'aria-label="Graph of architecture ([\d ]+), (\w+) cell"', cells)
    assert graphs == [(text, cell) for text in strings[:6] for cell in ("normal", "reduction")]


def test_a_final_training_of_cells(tmp_path):
    text = "0 0 1 4 2 3 0 1 1 2 1 2 0 0 0 0 1 1 1 1 3 2 2 2"
    write_final(tmp_path / "run", config={**OF_CELLS, "child_fixed_arc": text})
    found = page.report(tmp_path / "run").read_text()
    assert "Trained from scratch" in found and f'data-copy="{text}"' in found
    assert "<li>3: max pooling of 2 + 5x5 separable of 0</li>" in found
    assert "<li>4: average pooling of 3 + average pooling of 2</li>" in found
    assert found.count('aria-label="Graph of architecture') == 2
    assert sections(found)[1:3] == ["architectures", "labels"]


def test_sections_of_a_final_training(final):
    assert sections(final) == ["curves", "architectures", "labels", "precision-recall", "pairs",
                               "wrong", "configuration"]
    assert final.count('src="data:image/jpeg;base64,') == final.count("<img") > 1
    assert "controller_skip_target" not in final


@pytest.mark.parametrize("name", ["search", "final", "cells"])
def test_every_anchor_leads_somewhere(name, request):
    text = request.getfixturevalue(name)
    assert re.findall(r'<li><a href="#([\w-]+)"', text) == sections(text)


@pytest.mark.parametrize("name", ["search", "final", "cells"])
def test_nothing_of_a_file_becomes_markup(name, request):
    text = request.getfixturevalue(name)
    assert "&lt;script&gt;alert(1)" in text
    assert text.count("<script>") == 1  # that of the copy buttons
    assert "<img src=x" not in text
    tags = "".join(re.findall(r"<[a-z][^>]*>", text))
    links = re.findall(r'(?:src|href)="([^"]*)"', tags)
    assert links and all(link.startswith(("data:", "#")) for link in links)
    assert not re.search(r"url\((?!#)|@import", text)


@pytest.mark.parametrize("name", ["search", "final", "cells"])
def test_identifiers_are_unique_and_references_resolve(name, request):
    text = request.getfixturevalue(name)
    ids = collections.Counter(re.findall(r'\bid="([^"]+)"', text))
    assert max(ids.values()) == 1
    used = set(re.findall(r'url\(#([^)]+)\)|href="#([^"]+)"', text))
    assert {url or href for url, href in used} <= set(ids)


@pytest.mark.parametrize("name", ["search", "final", "cells"])
def test_charts_have_the_colours_of_the_page(name, request):
    svgs = re.findall(r"<svg.*?</svg>", request.getfixturevalue(name), re.DOTALL)
    assert len(svgs) > 3
    assert all('aria-label="' in svg and "var(--" in svg for svg in svgs)
    assert not any(re.search(r"#0[1-9]0[1-9]0[1-9]", svg) for svg in svgs)


def test_ticks_keep_their_digits():
    x = np.linspace(0, 0.01, 9)
    svg = line_chart(Chart("Learning rate", "epoch", (Line("child", "first", x, x),)), "m")
    assert ">0.004</text>" in svg and ">0.006</text>" in svg


@pytest.mark.parametrize("space", [WHOLE, CELLS])
def test_a_ranking_replaces_the_batches(tmp_path, space):
    write_search(tmp_path, space=space)
    strings = write_ranking(tmp_path, 7, space)
    text = page.report(tmp_path).read_text()
    assert re.findall(r'data-copy="([^"]+)"', text) == strings
    assert "all 616 images" in text and "noisy" not in text


def test_the_log_of_the_published_code_is_enough(tmp_path):
    write_search(tmp_path / "run")
    (tmp_path / "log").mkdir()
    (tmp_path / "run" / "stdout").rename(tmp_path / "log" / "stdout")
    text = page.report(tmp_path / "log").read_text()
    assert sections(text) == ["curves", "choices", "architectures"]
    assert "log only" in text and "controller step" in text


def test_a_run_that_has_just_begun(tmp_path):
    write_search(tmp_path, epochs=0)
    text = page.report(tmp_path).read_text()
    assert sections(text) == ["configuration"]
    assert "Nothing is recorded yet" in text


def test_predictions_that_do_not_fit_are_a_note(tmp_path):
    write_final(tmp_path / "run")
    split_predictions.save(tmp_path / "run" / "predictions_val.npz", Predictions(
        1, ("same", "same"), ("a",), np.zeros((1, 2)), np.zeros((1, 2))))
    text = page.report(tmp_path / "run").read_text()
    assert "The predictions of val are left out" in text
    assert "Validation, 3 images" in text  # from the record of the evaluation


def test_a_thousand_labels(tmp_path):
    """What grows with them is bounded, what is left out is said, and all are in the tables."""
    names = tuple(f"label {at}" for at in range(1000))
    write_final(tmp_path / "run", names)
    for split in ("val", "test"):
        path = tmp_path / "run" / split_predictions.file_name(split)
        scored = split_predictions.load(path)
        scored.labels[0] = np.arange(len(names)) == 777
        scored.labels[1:, 777] = 1  # so that no label has more images
        split_predictions.save(path, scored)
    began = time.process_time()
    text = page.report(tmp_path / "run").read_text()
    assert time.process_time() - began < 60 and len(text) < 2_000_000
    assert text.count("<figcaption><b>label ") == MOST_LABELS
    assert f"of the {MOST_LABELS} labels that most images have; the other 970" in text
    assert "<figcaption><b>label 777</b>" in text
    assert text.count("<li>and ") == len(re.findall("<code>(val|test)/", text)) > 0
    assert all(text.count(f'<th scope="row">{name}</th>') >= 2 for name in names)


def test_a_child_that_diverged(tmp_path):
    write_final(tmp_path / "run")
    path = tmp_path / "run" / "predictions_val.npz"
    predictions = split_predictions.load(path)
    not_finite = np.full_like(predictions.logits, np.nan)
    split_predictions.save(path, predictions._replace(logits=not_finite))
    text = page.report(tmp_path / "run").read_text()
    assert "(validation)" not in text and "(test)" in text


# --- the command -------------------------------------------------------------------------------


def run_command(*arguments, before=""):
    code = f"import sys, runpy; sys.argv[1:1] = ['report']; {before}; " \
        "runpy.run_module('AEROBI.cli', run_name='__main__')"
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)],
                          capture_output=True, text=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": str(SOURCE)})


def assert_refused(result, *parts):
    assert (result.returncode, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert all(part in result.stderr for part in parts), result.stderr


def test_the_script_needs_no_tensorflow(tmp_path):
    write_search(tmp_path, epochs=0)
    result = run_command(tmp_path, before="sys.modules['tensorflow'] = None")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"{tmp_path / 'report.html'}\n"
    assert not list(tmp_path.glob("*.tmp"))


@pytest.mark.parametrize("library", ["matplotlib", "jinja2", "networkx"])
def test_a_missing_library_is_one_line(tmp_path, library):
    write_search(tmp_path, epochs=1)
    result = run_command(tmp_path, before=f"sys.modules['{library}'] = None")
    assert_refused(result, library, "pip install '.[viz]'")
    assert not (tmp_path / "report.html").exists()


def refused(capsys, *arguments):
    assert report_command.main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1
    return printed.err


def test_wrong_use_is_one_line(tmp_path, capsys):
    write_search(tmp_path / "run", epochs=0)
    run = tmp_path / "run"
    assert "holds no run" in refused(capsys, tmp_path)
    assert "--output" in refused(capsys, run, "--output", run / "stdout")
    assert "--curves" in refused(capsys, run, "--curves", run / "stdout")
    assert "nothing is recorded" in refused(capsys, run, "--curves", run / "a.png")
    assert "No such file" in refused(capsys, run, "--output", tmp_path / "none" / "a.html")
    (run / "report.html").mkdir()
    assert "report.html" in refused(capsys, run)


def test_the_curves_as_a_picture(folder):
    for name, kind in (("a.png", "PNG"), ("a.svg", None)):
        assert report_command.main([str(folder / "search"), "--curves", str(folder / name)]) == 0
        content = (folder / name).read_bytes()
        if kind:
            with Image.open(io.BytesIO(content)) as image:
                assert image.format == kind and image.width > 800
        else:
            assert b"Entropy" in content


# --- numbers -----------------------------------------------------------------------------------


def test_thinned():
    x, y, band = thinned(np.arange(10.0), np.append(np.arange(9.0), np.nan), 3)
    np.testing.assert_array_equal(x, [1, 4, 7])
    np.testing.assert_array_equal(y, [1, 4, 7])
    np.testing.assert_array_equal(band, [[0.5, 3.5, 6.5], [1.5, 4.5, 7.5]])
    assert thinned(np.arange(9.0), np.arange(9.0), 9)[2] is None
    assert len(thinned(np.zeros(0), np.zeros(0))[0]) == 0
    np.testing.assert_array_equal(thinned(np.array([1.0, 1, 2]), np.array([1.0, 3, 5]))[1], [2, 5])


def test_curves_are_over_epochs(folder):
    charts = {chart.title: chart for chart in curves(read_run(folder / "search"))}
    loss, reward = charts["Loss"], charts["Reward and baseline"]
    np.testing.assert_allclose(loss.lines[0].x, np.arange(1, 2 * EPOCHS + 1) / 2)
    np.testing.assert_allclose(reward.lines[0].x, np.arange(1, EPOCHS + 1))
    np.testing.assert_allclose(reward.lines[1].y, 0.1 * np.arange(1, EPOCHS + 1))
    target = charts["Skip rate"].lines[1]
    assert target.dashed and set(target.y) == {0.4}


def test_no_target_is_drawn_where_it_has_no_weight(folder):
    run = read_run(folder / "search")
    run = dataclasses.replace(run, config={**run.config, "controller_skip_weight": 0.0})
    charts = {chart.title: chart for chart in curves(run)}
    assert [line.name for line in charts["Skip rate"].lines] == ["samples"]


def sampled(epoch, text, exact=0.5, images=16):
    return Sampled(epoch, Architecture.parse(text, 2), exact, images)


def test_shares():
    some = [sampled(1, "0 3 1"), sampled(1, "0 4 0"), sampled(2, "5 4 1")]
    epochs = [sample.epoch for sample in some]
    layer = choices_in_layers([sample.architecture for sample in some])[1]
    shares = shares_over_epochs(epochs, layer.operations)
    np.testing.assert_array_equal(shares.epochs, [1, 2])
    np.testing.assert_array_equal(shares.values[3:5], [[0.5, 0], [0.5, 1]])
    np.testing.assert_array_equal(shares_over_epochs(epochs, layer.sources).values, [[0.5, 1]])
    many = shares_over_epochs(range(310), np.zeros((310, 1)))
    assert many.values.shape == (1, MOST_COLUMNS) and many.epochs[-1] == 309


def test_shares_in_cells():
    some = [CELLS.parse(text + " 0 0 0 0 0 0 0 0 0 1 3 4") for text in (
        "0 0 1 4 2 3 2 3 1 1 1 1", "0 0 0 0 2 3 1 1 3 1 0 2")]
    groups = choices_in_cells(some)
    assert list(groups) == ["Normal cell", "Reduction cell"]
    first, second, third = groups["Normal cell"]
    np.testing.assert_array_equal(first.operations, [[0.5, 0, 0, 0, 0.5], [1, 0, 0, 0, 0]])
    np.testing.assert_array_equal(first.sources, [[0.5, 0.5], [1, 0]])
    np.testing.assert_array_equal(second.sources, [[0, 0, 1], [0, 0.5, 0.5]])
    np.testing.assert_array_equal(third.operations[1], [0, 0.5, 0.5, 0, 0])
    assert third.source_names == ["0 before last", "1 last", "node 2", "node 3"]
    last = groups["Reduction cell"][2]
    np.testing.assert_array_equal(last.operations, [[0, 0.5, 0, 0, 0.5]] * 2)
    assert last.where == "node 4 of the reduction cell"


def test_ranked():
    some = [sampled(1, "0 0 0", 1.0, 8), sampled(3, "0 0 0", 0.0, 24), sampled(2, "0 0 1", 0.25),
            sampled(4, "1 0 0", math.nan), sampled(5, "2 0 0", 0.1, None)]
    best = ranked(some)
    assert [str(entry.architecture) for entry in best] == ["0 0 0", "0 0 1", "2 0 0"]
    assert (best[0].exact_match, best[0].images, best[0].times, best[0].last_epoch) == (
        0.25, 32, 2, 3)
    assert best[0].standard_error < best[1].standard_error
    assert math.isnan(best[2].standard_error)


def test_precision_recall_against_scikit_learn():
    rng = np.random.default_rng(0)
    truth = rng.random(200) < 0.3
    scores = np.round(truth + rng.normal(size=200), 1).astype(np.float32)  # with ties
    recall, precision = precision_recall(scores, truth)
    theirs = precision_recall_curve(truth, scores, drop_intermediate=False)
    np.testing.assert_allclose(precision[1:], theirs[0][-2::-1])
    np.testing.assert_allclose(recall[1:], theirs[1][-2::-1])
    assert np.sum(np.diff(recall) * precision[1:]) == pytest.approx(
        average_precision(scores, truth))


def some_predictions(count=40, paths=None):
    rng = np.random.default_rng(3)
    labels = rng.integers(2, size=(count, 3)).astype(np.uint8)
    logits = rng.normal(size=(count, 3)).astype(np.float32)
    return Predictions(1, NAMES, paths or tuple(map(str, range(count))), logits, labels)


def test_pairs_against_a_slow_twin():
    predictions = some_predictions()
    labels, logits = predictions.labels, predictions.logits
    found = pairs(predictions)
    for a in range(3):
        for b in range(3):
            images = [i for i in range(40) if labels[i, a] and (a == b or not labels[i, b])]
            wrong = [i for i in images if (logits[i, b] >= 0) != labels[i, b]]
            assert found.images[a, b] == len(images)
            assert found.share[a, b] == pytest.approx(len(wrong) / len(images))
    none = pairs(predictions._replace(labels=np.zeros_like(labels)))
    assert np.isnan(np.diag(none.share)).all()


def test_most_wrong_against_a_slow_twin():
    predictions = some_predictions()
    labels, logits = predictions.labels, predictions.logits

    def loss(i):
        chance = 1 / (1 + np.exp(-logits[i].astype(float)))
        return -np.log(np.where(labels[i] > 0, chance, 1 - chance)).sum()

    wrong = [i for i in range(40) if ((logits[i] >= 0) != labels[i]).any()]
    assert most_wrong(predictions, 5) == sorted(wrong, key=loss, reverse=True)[:5]
    right = predictions._replace(logits=labels * 2.0 - 1)
    assert most_wrong(right, 5) == []


# --- pictures ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [
    "", "/etc/passwd", "../secret.png", "val/../../secret.png", "val\\..\\secret.png",
    "C:/secret.png", "//host/secret.png", "a\0b", "link.png", "way/secret.png"])
def test_nothing_outside_the_data_folder(tmp_path, name):
    data = tmp_path / "data"
    (data / "val").mkdir(parents=True)
    Image.new("RGB", (20, 20)).save(tmp_path / "secret.png")
    (data / "link.png").symlink_to(tmp_path / "secret.png")
    (data / "way").symlink_to(tmp_path)
    assert inside(data, name) is None


def test_pictures_and_placeholders(tmp_path):
    Image.new("RGB", (20, 60), (200, 0, 0)).save(tmp_path / "tall.png")
    (tmp_path / "text.png").write_text("no image")
    os.mkfifo(tmp_path / "pipe.png")
    paths = ("tall.png", "text.png", "pipe.png", "gone.png", "../out.png")
    predictions = some_predictions(5, paths)._replace(
        labels=np.ones((5, 3), np.uint8), logits=-np.arange(5, 0, -1)[:, None].repeat(3, 1))
    images = wrong_images(predictions, tmp_path, 24)
    assert tuple(image.path for image in images) == paths
    assert [image.placeholder for image in images] == [
        "", "does not decode", "no longer there", "no longer there", "not below the data folder"]
    assert images[0].picture.startswith("data:image/jpeg;base64,")
    assert {verdict.outcome for verdict in images[0].verdicts} == {"missed"}
    without = wrong_images(predictions, tmp_path / "none", 2)
    assert [image.placeholder for image in without] == ["the data set is no longer there"] * 2


def test_a_picture_is_the_centre_crop(tmp_path):
    pixels = np.zeros((30, 90, 3), np.uint8)
    pixels[:, 30:60] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    predictions = some_predictions(1, ("a.png",))._replace(
        labels=np.ones((1, 3)), logits=-np.ones((1, 3)))
    picture = wrong_images(predictions, tmp_path, 1)[0].picture
    with Image.open(io.BytesIO(base64.b64decode(picture.split(",")[1]))) as image:
        assert image.size == (SIDE, SIDE)
        assert np.asarray(image)[:, 10:-10].min() > 200
