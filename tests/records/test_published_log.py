"""The format of the published log: its exact lines, and a reader that real logs do not upset."""

import itertools
import time

import numpy as np
import pytest

from AEROBI.records import published_log
from AEROBI.records.published_log import (
    ChildRecord,
    ControllerRecord,
    LogError,
    LoggedEvaluation,
)
from AEROBI.search_space.spaces import MacroSpace, MicroSpace

RULE = "-" * 80
CHILD = ChildRecord(3, 1250, 0.4321, 0.0075, 12.5, 4, 16, 61.25)
CONTROLLER = ControllerRecord(50, -1.25, 28.5, 0.001, 0.25, 0.3125, 0.28, 62.5)
THREE = "[5]\n[5 1]\n[0 1 1]\n"


def parse(lines, num_layers):
    return published_log.parse(lines, MacroSpace(num_layers))


def lines_of(text):
    return text.splitlines(keepends=True)


def layers_of(numbers, num_layers):
    starts = [layer * (layer + 1) // 2 for layer in range(num_layers + 1)]
    return [numbers[a:b] for a, b in itertools.pairwise(starts)]


def written_log(epochs=2, num_layers=7, seed=0):
    """A log made of all writers, and the architectures in it."""
    rng = np.random.default_rng(seed)
    lines, arcs = ["Building the graph"], []
    for epoch in range(1, epochs + 1):
        lines += [published_log.child_line(**CHILD._asdict()),
                  published_log.controller_header(epoch),
                  published_log.controller_line(**CONTROLLER._asdict()),
                  published_log.architectures_header(10)]
        for _ in range(10):
            numbers = rng.integers(2, size=num_layers * (num_layers + 1) // 2).tolist()
            arcs.append(numbers)
            lines += published_log.architecture_lines(layers_of(numbers, num_layers), 0.5)
        lines.append(published_log.evaluation_header(epoch))
        for name, value in (("valid", epoch / 10), ("test", epoch / 5)):
            lines += [published_log.evaluation_step(epoch * 400),
                      published_log.accuracy_line(name, value)]
    return [line + "\n" for line in lines], arcs


# --- writing ---------------------------------------------------------------------------


def test_lines_are_those_of_the_published_implementation():
    assert published_log.child_line(**CHILD._asdict()) == (
        "epoch=3     ch_step=1250   loss=0.432100 lr=0.0075   |g|=12.5000  tr_acc=4  / 16 "
        "mins=61.25     ")
    assert published_log.controller_line(**CONTROLLER._asdict()) == (
        "ctrl_step=50     loss=-1.250  ent=28.50 lr=0.0010 |g|=0.2500   acc=0.3125 bl=0.28  "
        "mins=62.50")
    assert published_log.controller_header(4) == "Epoch 4: Training controller"
    assert published_log.architectures_header(10) == "Here are 10 architectures"
    assert published_log.evaluation_header(4) == "Epoch 4: Eval"
    assert published_log.evaluation_step(1620) == "Eval at 1620"
    assert published_log.accuracy_line("valid", 0.65471) == "valid_accuracy: 0.6547"
    assert published_log.accuracy_line("test", 1) == "test_accuracy: 1.0000"


def test_architecture_lines_are_as_numpy_prints_them():
    layers = [(5,), (5, 1), (0, 1, 1)]
    lines = published_log.architecture_lines(layers, 0.25)
    assert lines == [*(str(np.array(layer)) for layer in layers), "val_acc=0.2500", RULE]


def test_writers_take_numpy_numbers_and_refuse_missing_fields():
    values = {name: np.float32(value) if isinstance(value, float) else np.int32(value)
              for name, value in CHILD._asdict().items()}
    assert published_log.child_line(**values).startswith("epoch=3     ch_step=1250   loss=0.4321")
    del values["loss"]
    with pytest.raises(KeyError, match="loss"):
        published_log.child_line(**values)


# --- reading ---------------------------------------------------------------------------


@pytest.mark.parametrize("num_layers", [1, 3, 7, 12])
def test_round_trip(num_layers):
    lines, arcs = written_log(num_layers=num_layers)
    log = parse(lines, num_layers)
    assert [architecture.numbers for architecture in log.architectures] == arcs
    assert [architecture.epoch for architecture in log.architectures] == [1] * 10 + [2] * 10
    assert {architecture.val_acc for architecture in log.architectures} == {0.5}
    assert log.child == [CHILD] * 2
    assert log.controller == [CONTROLLER] * 2
    assert all(isinstance(value, (int, float)) for value in log.child[0] + log.controller[0])
    assert isinstance(log.child[0].epoch, int)
    assert log.evaluations == [LoggedEvaluation(1, 0.1, 0.2), LoggedEvaluation(2, 0.2, 0.4)]
    np.testing.assert_array_equal(log.valid_accuracies, [0.1, 0.2])
    np.testing.assert_array_equal(log.test_accuracies, [0.2, 0.4])
    assert log.best() == LoggedEvaluation(2, 0.2, 0.4)


def noisy(line):
    """The same line as a terminal may have left it."""
    text = line.rstrip("\n")
    return ["\n", f"\x1b[2K\r 45%|####5     | 9/20 [00:01<00:02,  5.00it/s]\r      \r\x1b[32m{text}"
            "\x1b[0m\r\n", "W tensorflow/core/x.cc:12] shapes [16,6] vs. [16,1]\n",
            "[libprotobuf WARNING] something\n"]


def test_noise_changes_nothing():
    lines, _ = written_log()
    assert parse([dirty for line in lines for dirty in noisy(line)], 7) == parse(lines, 7)
    assert parse([line.rstrip("\n") for line in lines], 7) == parse(lines, 7)
    assert parse([line.replace("\n", "\r\n") for line in lines], 7) == parse(lines, 7)


def test_progress_bar_left_on_the_line():
    bar = "epoch 1/3:  45%|████▌     | 9/20 [00:01<00:02,  5.00it/s]"
    lines = [bar + line for line in written_log()[0]]
    assert parse(lines, 7) == parse(written_log()[0], 7)


BAR = "training:  10%|##        | 10/100 [00:01<00:09, 9.9it/s"


@pytest.mark.parametrize("line", [
    BAR * 800, "1%|" * 15_000, "1" * 44_000, "9" * 22_000 + "%" * 22_000, "1%| 1/" * 8_000,
    "5%|| " + "1" * 40_000, "5%|" + "| 1/2 [" * 6_000, "5%|| 1/" + "2" * 40_000,
    "\x1b[" * 22_000, "[" + "1 " * 22_000 + "x", "epoch=1" + " " * 44_000])
def test_no_line_takes_long(line):
    began = time.process_time()
    assert parse([line + "\n"], 3) == parse([], 3)
    assert time.process_time() - began < 1


def test_a_row_without_end_is_refused():
    with pytest.raises(LogError, match="does not end"):
        parse(["[1", *["0 " * 1000] * 100], 3)


def test_rows_that_numpy_wrapped():
    numbers = np.random.default_rng(0).integers(2, size=60 * 61 // 2).tolist()
    rows = [str(np.array(layer)) for layer in layers_of(numbers, 60)]
    assert any("\n" in row for row in rows)
    text = "\n".join(["Here are 10 architectures", *rows, "val_acc=0.5000", RULE]) + "\n"
    assert parse(lines_of(text), 60).architectures[0].numbers == numbers
    with_warnings = text.replace("\n", "\nWARNING: interleaved\n")
    assert parse(lines_of(with_warnings), 60).architectures[0].numbers == numbers


def test_any_torn_end_gives_a_beginning_of_the_whole():
    text = "".join(written_log(epochs=1, num_layers=2)[0])
    whole = parse(lines_of(text), 2)
    for length in range(len(text)):
        log = parse(lines_of(text[:length]), 2)
        for part, everything in zip(log[2:], whole[2:]):
            assert part == everything[:len(part)]
        assert all(architecture in (complete, complete._replace(val_acc=None))
                   for architecture, complete in zip(log.architectures, whole.architectures))
        for name in ("valid_accuracies", "test_accuracies"):
            found = getattr(log, name)
            np.testing.assert_array_equal(found, getattr(whole, name)[:len(found)])


def test_values_that_are_not_finite():
    line = published_log.child_line(**CHILD._replace(
        loss=float("nan"), grad_norm=float("inf"))._asdict())
    assert np.isnan(parse([line], 7).child[0].loss)
    assert parse([line], 7).child[0].grad_norm == np.inf


def test_architectures_without_header_or_value():
    log = parse(lines_of(THREE + THREE + "val_acc=0.5000\n" + THREE + "Epoch 1: Eval\n" + THREE), 3)
    assert [architecture.numbers for architecture in log.architectures] == [[5, 5, 1, 0, 1, 1]] * 4
    assert [architecture.val_acc for architecture in log.architectures] == [None, 0.5, None, None]
    assert {architecture.epoch for architecture in log.architectures} == {None}


@pytest.mark.parametrize("text, parts", [
    ("\n[5]\n[0 1 1]\nval_acc=0.5000\n", ("line 3", "layer 1", "2")),
    (THREE + "val_acc=0.5000\n[5]\n[5 1]\nval_acc=0.5000\n", ("line 7", "line 5", "2", "of 3")),
    ("[5]\n[5 1]\nEpoch 2: Eval\n", ("line 3", "line 1")),
    ("[5]\n[5 1\nval_acc=0.5000\n", ("line 3", "line 1", "1 complete")),
    ("[5]\n[5 1\n[0 1 1]\n", ("line 3", "torn")),
    ("[0 1 1]\nval_acc=0.5000\n", ("line 1", "layer 0")),
    ("hello\nval_acc=0.5000\n", ("line 2", "0 complete")),
    ("[5]\n[5]\n", ("line 2", "3 layers")),
])
def test_incomplete_architectures_name_the_line(text, parts):
    with pytest.raises(LogError) as error:
        parse(lines_of(text), 3)
    assert all(part in str(error.value) for part in parts), error.value


@pytest.mark.parametrize("num_layers, part", [
    (6, "line 12: 7 numbers"), (8, "line 13: "), (0, "0 layers")])
def test_wrong_number_of_layers(num_layers, part):
    with pytest.raises(LogError) as error:
        parse(written_log()[0], num_layers)
    assert part in str(error.value)


def test_incomplete_last_architecture_is_dropped():
    for end in ("[5]\n", "[5]\n[5 1]\n", "[5]\n[5", "[5]\n[5 1]\n[0 1"):
        assert len(parse(lines_of(THREE + "val_acc=0.5000\n" + end), 3).architectures) == 1


def test_accuracies_of_one_evaluation_stay_together():
    """A value that is torn or missing must not pair later ones wrongly."""
    text = ("Epoch 1: Eval\nvalid_accuracy: 0.9\ntest_accuracy: 0.1000\n"
            "Epoch 2: Eval\nvalid_accuracy: 0.5000\ntest_accuracy: 0.2000\n"
            "Epoch 3: Eval\nvalid_accuracy: 0.5000\ntest_accuracy: 0.3000\n"
            "Epoch 4: Eval\nvalid_accuracy: 0.8000\n")
    log = parse(lines_of(text), 7)
    assert log.valid_accuracies.tolist() == [0.5, 0.5, 0.8]
    assert log.test_accuracies.tolist() == [0.1, 0.2, 0.3]
    assert log.best() == LoggedEvaluation(2, 0.5, 0.2)  # the first among equals


def test_accuracies_without_headers():
    log = parse(["valid_accuracy: 0.5000", "test_accuracy: 0.2500", "valid_accuracy: 0.7500"], 7)
    assert log.evaluations == [LoggedEvaluation(None, 0.5, 0.25),
                               LoggedEvaluation(None, 0.75, None)]
    assert parse(["test_accuracy: 0.2500"], 7).best() is None


def test_empty_log():
    log = parse([], 7)
    assert log == ([], [], [], [])
    assert log.valid_accuracies.shape == (0,)


# --- cells -----------------------------------------------------------------------------


CELLS = "[0 1 1 4]\n[1 0 0 2]\nval_acc=0.5000\n"


def test_a_log_of_cells_round_trips():
    rows = [[0, 1, 1, 4, 2, 3, 0, 0], [1, 0, 0, 2, 1, 1, 2, 4]]
    lines = [published_log.controller_header(3), *published_log.architecture_lines(rows, 0.25)] * 2
    log = published_log.parse(lines, MicroSpace(2))
    assert [architecture.rows for architecture in log.architectures] == [rows] * 2
    assert [architecture.val_acc for architecture in log.architectures] == [0.25] * 2
    assert log.architectures[0].numbers == rows[0] + rows[1]


@pytest.mark.parametrize("text, parts", [
    ("[0 1 1 4]\n[1 0 0]\n", ("line 2: 3 numbers", "the reduction cell", "has 4",
                              "cells of 1 nodes")),
    ("[0 1 1 4]\nval_acc=0.5000\n", ("line 2", "1 complete cells of 2"))])
def test_a_torn_log_of_cells_says_where(text, parts):
    with pytest.raises(LogError) as error:
        published_log.parse(lines_of(CELLS + text), MicroSpace(1))
    for part in parts:
        assert part.replace("line 2", f"line {2 + CELLS.count(chr(10))}") in str(error.value)
