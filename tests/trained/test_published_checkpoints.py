"""Checkpoints of real runs of the published code, through every command that takes a model.

Its search only ever trained and ran operation 5, so that is the network that it was.
"""

import csv
import json
import logging

import numpy as np
import pytest
from conftest import GOLDEN, assert_close
from PIL import Image

from AEROBI.commands import evaluate as evaluate_command
from AEROBI.commands import export as export_command
from AEROBI.commands import predict as predict_command
from AEROBI.commands import select as select_command
from AEROBI.data_utils import CLASS_NAMES
from AEROBI.flags import from_published_checkpoint as published
from AEROBI.trained.classifier import open_classifier
from AEROBI.trained.overrides import Overrides

SEARCH, FINAL = GOLDEN / "published_search", GOLDEN / "published_final"
SIDE = 32
FINAL_ARC = "1 3 1 4 0 1"


def expected(run):
    with np.load(run / "expected.npz") as arrays:
        return dict(arrays)


def arc_of(k):
    return " ".join(map(str, expected(SEARCH)["arcs"][k]))


def sigmoid(logits):
    return np.exp(-np.logaddexp(0, -logits))


def model_words(run, arc):
    return [str(run / "model.ckpt-20"), f"--child_fixed_arc={arc}", f"--img_size={SIDE}"]


def pictures(images, folder):
    """Each image as a PNG file."""
    folder.mkdir()
    paths = [folder / f"{k}.png" for k in range(len(images))]
    for image, path in zip(images, paths):
        Image.fromarray(image).save(path)
    return paths


@pytest.mark.parametrize("k", range(3))
def test_a_search_is_the_network_that_it_was_and_says_so(k, caplog):
    arrays = expected(SEARCH)
    with caplog.at_level(logging.WARNING), open_classifier(
            SEARCH / "model.ckpt-20", Overrides(arc_of(k), SIDE)) as classifier:
        assert_close(classifier.logits(arrays["images"]), arrays["eval_logits"][k])
        assert classifier.aliased_scaling
    messages = [record.getMessage() for record in caplog.records]
    assert sum("only ever trained and ran operation 5 (max_pooling)" in message
               for message in messages) == 1
    assert sum("--scaling antialiased" in message for message in messages) == 1
    assert all("\n" not in message and "model.ckpt-20" in message for message in messages)


def test_a_final_training_is_the_network_that_it_was(caplog):
    arrays = expected(FINAL)
    with caplog.at_level(logging.WARNING), open_classifier(
            FINAL / "model.ckpt-20", Overrides(FINAL_ARC, SIDE)) as classifier:
        assert_close(classifier.logits(arrays["images"]), arrays["eval_logits"])
    assert "operation" not in caplog.text and "--scaling antialiased" in caplog.text


def test_our_scaling_may_be_asked_for(caplog):
    given = Overrides(FINAL_ARC, SIDE, aliased_scaling=False)
    with caplog.at_level(logging.WARNING), open_classifier(
            FINAL / "model.ckpt-20", given) as classifier:
        assert not classifier.aliased_scaling
    assert not caplog.records


@pytest.mark.parametrize("run, arc, logits", [
    (SEARCH, arc_of(1), expected(SEARCH)["eval_logits"][1]),
    (FINAL, FINAL_ARC, expected(FINAL)["eval_logits"])])
def test_predict(run, arc, logits, tmp_path):
    paths = pictures(expected(run)["images"], tmp_path / "photos")
    output = tmp_path / "rows.csv"
    assert predict_command.main([*model_words(run, arc), f"--output={output}", "--format=csv",
                                 *map(str, paths)]) == 0
    rows = list(csv.DictReader(output.open()))
    found = [[float(row[name]) for name in CLASS_NAMES] for row in rows]
    assert_close(found, sigmoid(logits))


@pytest.mark.parametrize("run, arc, logits", [
    (SEARCH, arc_of(2), expected(SEARCH)["eval_logits"][2]),
    (FINAL, FINAL_ARC, expected(FINAL)["eval_logits"])])
def test_export(run, arc, logits, tmp_path):
    images = expected(run)["images"]
    assert export_command.main([*model_words(run, arc), f"--output={tmp_path / 'model'}"]) == 0
    with open_classifier(tmp_path / "model", Overrides()) as classifier:
        assert_close(classifier.probabilities(images), sigmoid(logits))
        files = [path.read_bytes() for path in pictures(images, tmp_path / "photos")]
        assert_close(classifier.probabilities_of_files(files), sigmoid(logits))
        assert classifier.aliased_scaling  # as the checkpoint was trained
    assert "no antialiasing" in json.loads((tmp_path / "model/model.json").read_text())[
        "preprocessing"]


@pytest.mark.parametrize("run, arc, logits", [
    (SEARCH, arc_of(0), expected(SEARCH)["eval_logits"][0]),
    (FINAL, FINAL_ARC, expected(FINAL)["eval_logits"])])
def test_evaluate(run, arc, logits, tmp_path):
    """On a data set whose labels are what the network says, but for one image."""
    images, labels = expected(run)["images"], (logits >= 0).astype(int)
    labels[0, 0] = 1 - labels[0, 0]
    with (tmp_path / "labels.csv").open("w") as file:
        rows = csv.writer(file)
        rows.writerow(["img_path", "split_type", *CLASS_NAMES])
        for split in ("train", "val", "test"):
            for path, row in zip(pictures(images, tmp_path / split), labels):
                rows.writerow([f"{split}/{path.name}", split, *row])
            for k in range(len(CLASS_NAMES)):  # every class has an image with it and without
                Image.fromarray(images[0]).save(tmp_path / split / f"more{k}.png")
                rows.writerow([f"{split}/more{k}.png", split, *np.eye(6, dtype=int)[k]])
    output = tmp_path / "found.json"
    assert evaluate_command.main([
        *model_words(run, arc), f"--data_path={tmp_path / 'labels.csv'}",
        f"--cache_dir={tmp_path / 'cache'}", f"--output={output}"]) == 0
    more = [(np.eye(6)[k] == (logits[0] >= 0)).all() for k in range(6)]
    right = len(images) - 1 + sum(more)
    assert json.loads(output.read_text())["exact_match"] == pytest.approx(
        right / (len(images) + 6))


def test_select_refuses_to_rank_and_says_why(tiny_data, tmp_path, capsys):
    words = [str(SEARCH / "model.ckpt-20"), f"--data_path={tiny_data}", f"--img_size={SIDE}",
             f"--output={tmp_path / 'a.json'}"]
    assert select_command.main(words) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "a ranking is impossible" in error
    assert "only ever trained and ran operation 5" in error
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize("run, late_binding", [(SEARCH, True), (FINAL, False)])
def test_what_a_checkpoint_tells(run, late_binding):
    shapes = published.read_shapes(run / "model.ckpt-20")
    child = published.child_of(run / "model.ckpt-20", shapes)
    assert (child.num_layers, child.out_filters, child.late_binding) == (3, 4, late_binding)
    assert published.is_published(shapes) and published.is_search(shapes) == late_binding
