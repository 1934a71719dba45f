"""Runs read back: whole, torn, damaged, of the published code, still going."""

import json
import math
import os

import numpy as np
import pytest
from report_runs import EPOCHS, LAYERS, PRINTED, STEPS, write_final, write_ranking, write_search

from AEROBI.records.run_records import RunRecordsError, column, number, read_run
from AEROBI.run.append_file import AppendFile


@pytest.fixture
def search(tmp_path):
    write_search(tmp_path / "run")
    return tmp_path / "run"


def only_log(path):
    for entry in path.iterdir():
        if entry.name != "stdout":
            entry.unlink()


def append(path, text):
    with path.open("a") as file:
        file.write(text)


def test_a_search(search):
    run = read_run(search)
    assert (run.kind, run.state, run.notes) == ("search", "stopped", ())
    assert (run.epochs_done, run.steps_per_epoch) == (EPOCHS, STEPS)
    assert [len(run.child), len(run.controller), len(run.sampled)] == [8, 12, EPOCHS * PRINTED]
    assert run.best_evaluation() == (EPOCHS - 1, EPOCHS / 8, EPOCHS / 16)
    assert run.sampled[-1].architecture.num_layers == LAYERS
    assert run.versions["AEROBI"] == "1.0.0"


def test_the_log_alone_tells_the_same(search):
    whole = read_run(search)
    only_log(search)
    run = read_run(search)
    assert (run.kind, run.state, run.config) == ("search", "unknown", {})
    assert run.sampled == whole.sampled
    assert (run.epochs_done, run.steps_per_epoch) == (EPOCHS, STEPS)
    assert run.best_evaluation() == whole.best_evaluation()
    for name in ("step", "epoch", "loss", "correct", "images"):
        np.testing.assert_allclose(column(run.child, name), column(whole.child, name), atol=1e-6)
    for name in ("entropy", "baseline", "exact_match"):
        np.testing.assert_allclose(column(run.controller, name), column(whole.controller, name),
                                   atol=0.005)


def test_a_log_without_epochs_of_evaluations_still_knows_the_steps(search):
    only_log(search)
    text = (search / "stdout").read_text().split("Epoch 0: Eval")[0]
    (search / "stdout").write_text(text + "epoch=2     ch_step=25     loss=0.1 lr=0.1 |g|=0.1 "
                                   "tr_acc=1  / 16 mins=0.04\n")
    assert read_run(search).steps_per_epoch == 10  # 10 steps are 1 epoch, 25 are 2


def test_a_torn_last_line_is_passed_over(search):
    for name in ("metrics.jsonl", "architectures.jsonl"):
        path = search / name
        path.write_bytes(path.read_bytes()[:-7])
    run = read_run(search)
    assert run.notes == ()
    assert len(run.sampled) == EPOCHS * PRINTED - 1
    assert len(run.of_split("test")) == EPOCHS - 1
    assert run.best_evaluation()[:2] == (EPOCHS - 1, EPOCHS / 8)
    assert math.isnan(run.best_evaluation()[2])


@pytest.mark.parametrize("end", ["[1]\n[1 0", "[1]\n", "[1]\n[1 0]\n[1 0 1]\nval_a"])
def test_a_log_torn_in_an_architecture(search, end):
    only_log(search)
    before = read_run(search).sampled
    append(search / "stdout", f"Here are 2 architectures\n{end}")
    run = read_run(search)
    assert (run.sampled[:len(before)], run.notes) == (before, ())


def test_a_torn_architecture_amid_the_log_costs_no_curve(search):
    only_log(search)
    text = (search / "stdout").read_text()
    (search / "stdout").write_text(f"{text}[1]\n[1 0]\n{text}")
    run = read_run(search)
    assert run.sampled == []
    assert len(run.child) == 16
    assert "line" in run.notes[0]


def test_damaged_lines_are_counted(search):
    append(search / "metrics.jsonl", "{]\n\n[1]\n" + "[" * 100_000 + "\n")
    append(search / "architectures.jsonl", '{"epoch": 1, "architecture": "9 9 9"}\n'
           '{"epoch": 1e300, "architecture": "0"}\n{"epoch": [], "architecture": []}\n'
           '{"epoch": 9, "architecture": "0 1 1"}\n')  # valid, of other depth
    run = read_run(search)
    assert run.notes == ("metrics.jsonl: 3 damaged lines left out.",
                         "architectures.jsonl: 3 without a valid architecture left out.")
    assert len(run.sampled) == EPOCHS * PRINTED


@pytest.mark.parametrize("value", ["1", None, True, [1], {}, float("nan"), float("inf"), 10 ** 400])
def test_what_is_no_number(value):
    assert math.isnan(number(value))
    assert number(value, 7) == 7


def test_records_of_wrong_types(search):
    records = (
        {"kind": "child", "step": "x", "epoch": None, "loss": {}}, {"kind": ["child"]}, {},
        {"kind": "evaluation", "split": ["val"], "epoch": "x"},
        {"kind": "evaluation", "split": "val", "epoch": 0, "step": 0, "exact_match": "1"})
    append(search / "metrics.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    run = read_run(search)
    assert run.epochs_done == EPOCHS
    assert run.steps_per_epoch == STEPS
    assert run.best_evaluation()[0] == EPOCHS - 1


def test_a_run_that_has_just_begun(search):
    for name in ("stdout", "metrics.jsonl", "architectures.jsonl"):
        (search / name).write_text("")
    run = read_run(search)
    assert (run.kind, run.epochs_done, run.best_evaluation()) == ("search", 0, None)
    assert math.isnan(run.steps_per_epoch)


def test_the_lock_of_a_run_tells_that_it_is_going(search):
    file = AppendFile(search / "stdout")
    assert file.lock()
    size = file.size()
    assert read_run(search).state == "running"
    file.close()
    assert read_run(search).state == "stopped"
    assert (search / "stdout").stat().st_size == size


def test_the_last_words_tell_that_it_is_over(search):
    best = str(read_run(search).sampled[0].architecture)
    append(search / "stdout", "Best of 10 sampled architectures on the whole validation split, "
           f"with the shared weights (exact match 0.2850): {best}\n")
    (search / "best_architecture.txt").write_text(best + "\n")
    run = read_run(search)
    assert (run.state, str(run.best), run.best_exact_match) == ("finished", best, 0.285)
    append(search / "stdout", "epoch=9     ch_step=90     loss=0.1 lr=0.1 |g|=0.1 "
           "tr_acc=1  / 16 mins=0.04\n")
    assert read_run(search).state == "stopped"  # it went on, with more epochs


def test_a_final_training(tmp_path):
    images = write_final(tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert (run.kind, run.state, str(run.fixed)) == ("final", "finished", "0 1 1 4 0 1")
    assert run.predictions["val"].paths == tuple(images)
    assert sorted(run.predictions) == ["test", "val"]


def test_the_ranking(search):
    strings = write_ranking(search)
    candidates = read_run(search).ranking.architectures
    assert [candidate.architecture for candidate in candidates] == strings


@pytest.mark.parametrize("name", [
    "config.json", "versions.json", "architectures.json", "predictions_val.npz",
    "best_architecture.txt"])
def test_a_damaged_file_is_a_note(search, name):
    (search / name).write_bytes(b"\xff{")
    run = read_run(search)
    assert len(run.notes) == 1
    assert name in run.notes[0] and str(search) not in run.notes[0]
    assert len(run.child) == 8


def test_a_pipe_is_not_waited_for(search):
    (search / "versions.json").unlink()
    os.mkfifo(search / "versions.json")
    assert read_run(search).versions == {}


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(),
                                  lambda path: path.write_text("")])
def test_no_run(tmp_path, make):
    path = tmp_path / "nothing"
    make(path)
    with pytest.raises(RunRecordsError, match=r"nothing: holds no run .*--output_dir"):
        read_run(path)
