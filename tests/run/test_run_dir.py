"""The files of a run: the log, records, events; what becomes of them across restarts."""

import json
import logging
import platform

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from AEROBI import __version__
from AEROBI.records.run_files import json_lines
from AEROBI.run.run_dir import RunDirectory

CONFIG = {"batch_size": 16, "child_lr_max": 0.01, "child_fixed_arc": None}

log = logging.getLogger("AEROBI.somewhere")


def metrics_of(run, notes=None):
    """What stands in metrics.jsonl, and what the reader has to say of it."""
    return list(json_lines(run.path / "metrics.jsonl", [] if notes is None else notes))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "parent" / "run"


@pytest.fixture
def start(folder):
    """`start()`: opens the run directory; closed after the test."""
    opened = []

    def open_it():
        if opened:
            (folder / "checkpoints").mkdir(exist_ok=True)  # as a trainer makes it
        opened.append(RunDirectory.open(str(folder), CONFIG, False))
        return opened[-1]

    yield open_it
    for run in opened:
        run.close()


def test_new_directory(start, folder):
    run = start()
    assert run.path == folder
    assert not run.resumed
    record = json.loads((folder / "config.json").read_text())
    assert record == {"format": "AEROBI run", "configuration": CONFIG}
    assert (folder / "config.json").read_text().count("\n") > len(CONFIG)  # pretty
    versions = json.loads((folder / "versions.json").read_text())
    assert versions["AEROBI"] == __version__
    assert versions["Python"] == platform.python_version()
    assert (versions["TensorFlow"], versions["numpy"]) == (tf.__version__, np.__version__)
    assert sorted(path.name for path in folder.iterdir()) == [
        "architectures.jsonl", "config.json", "metrics.jsonl", "stdout", "versions.json"]


@pytest.mark.parametrize("path", ["run", "run/", "./run"])
def test_relative_path(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    run = RunDirectory.open(path, CONFIG, False)
    monkeypatch.chdir("/")
    run.write_best_architecture("0")
    assert (tmp_path / "run" / "best_architecture.txt").read_text() == "0\n"
    run.close()


def test_resuming_tells_of_other_versions(start, folder, caplog):
    start().close()
    versions = json.loads((folder / "versions.json").read_text())
    (folder / "versions.json").write_text(json.dumps({**versions, "TensorFlow": "2.1.0"}))
    start()
    assert f"TensorFlow 2.1.0 before, {tf.__version__} now" in caplog.text
    assert json.loads((folder / "versions.json").read_text()) == versions
    assert "numpy" not in caplog.text


# --- the log ---------------------------------------------------------------------------


def test_log_lines(start, folder):
    run = start()
    log.info("before")
    with run:
        logging.getLogger("AEROBI.x").info("epoch=%d é", 1)
        log.debug("not this")
        log.warning("careful")
        logging.getLogger("elsewhere").error("not this")
        log.info("two\nlines \udc80")
        assert (folder / "stdout").read_text() == (
            "epoch=1 é\nWARNING: careful\ntwo\nlines \\udc80\n")  # there at once
        log.error("bad")
    log.info("after")
    assert (folder / "stdout").read_text().endswith("ERROR: bad\n")
    run.close()  # a second time


def test_log_leaves_the_logger_as_it_was(start):
    package = logging.getLogger("AEROBI")
    before = package.level, list(package.handlers)
    with pytest.raises(ZeroDivisionError), start():
        assert package.isEnabledFor(logging.INFO)
        1 / 0  # noqa: B018
    assert (package.level, package.handlers) == before


def test_log_goes_on_across_restarts(start, folder):
    for text in ("one", "two"):
        with start():
            log.info(text)
    assert (folder / "stdout").read_text() == "one\ntwo\n"


# --- records ---------------------------------------------------------------------------


def test_records_are_strict_json_lines(start, folder):
    run = start()
    run.write_metrics({"loss": np.float32(0.5), "bad": float("nan"), "worse": -np.inf,
                       "step": np.int64(3), "list": (np.float64("inf"), np.arange(2)),
                       "text": "a\nb", "none": None, "inner": {"x": np.nan}})
    run.write_metrics({"step": 4})
    run.write_architecture({"architecture": "0 1 1"})
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    expected = {"loss": 0.5, "bad": None, "worse": None, "step": 3, "list": [None, [0, 1]],
                "text": "a\nb", "none": None, "inner": {"x": None}}
    assert [json.loads(line) for line in lines] == [expected, {"step": 4}]
    assert metrics_of(run) == [expected, {"step": 4}]
    assert (folder / "architectures.jsonl").read_text() == '{"architecture": "0 1 1"}\n'


def test_damaged_lines_are_told_of_and_left_out(start, folder):
    with start() as run:
        run.write_metrics({"step": 1})
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(b'5\n\xff\n{"step": 2')  # torn by a power cut
    with start() as run:
        run.write_metrics({"step": 3})
        notes = []
        assert metrics_of(run, notes) == [{"step": 1}, {"step": 3}]
    assert notes == ["metrics.jsonl: 3 damaged lines left out."]


# --- resuming --------------------------------------------------------------------------


def work(run, steps):
    for step in steps:
        log.info("step %d", step)
        run.write_metrics({"step": step})
        run.write_architecture({"step": step})


def test_a_resumed_run_has_the_files_of_an_uninterrupted_one(start, folder, tmp_path):
    with start() as run:
        log.info("start")
        work(run, [1, 2])
        offsets = json.loads(json.dumps(run.offsets()))
        work(run, [3, 4, 5])
    with start() as run:
        log.info("start-up chatter, longer than all that was there before" * 9)
        run.rewind(offsets)
        assert run.offsets() == offsets
        work(run, [3, 4, 5, 6])
    with RunDirectory.open(str(tmp_path / "other"), CONFIG, False) as run:
        log.info("start")
        work(run, range(1, 7))
    for name in ("stdout", "metrics.jsonl", "architectures.jsonl"):
        assert (folder / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_rewinding_files_that_lost_their_end(start, folder, caplog):
    with start() as run:
        work(run, range(5))
        offsets = run.offsets()
    (folder / "stdout").unlink()
    (folder / "metrics.jsonl").write_text('{"step": 0}\n{"st')
    with start() as run:
        log.info("chatter that makes the file longer than the checkpoint knows it" * 3)
        run.rewind(offsets)
        work(run, [5])
    assert [name in caplog.text for name in (
        f"{folder / 'stdout'} has lost its end: 0 bytes where",
        f"{folder / 'metrics.jsonl'} has lost its end", "architectures.jsonl has")] == [
            True, True, False]
    log_lines = (folder / "stdout").read_text().splitlines()
    assert log_lines[0].startswith("chatter")
    assert log_lines[-1] == "step 5"
    assert metrics_of(run) == [{"step": 0}, {"step": 5}]


def test_starting_over_keeps_what_this_start_said(start, folder):
    with start() as run:
        work(run, range(5))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write("torn")
    with start() as run:
        log.info("chatter")
        run.start_over()
        work(run, [0])
    assert (folder / "stdout").read_text() == "chatter\nstep 0\n"
    assert (folder / "metrics.jsonl").read_text() == '{"step": 0}\n'


# --- events ----------------------------------------------------------------------------


def events(folder):
    return [event for path in sorted((folder / "events").iterdir())  # TensorBoard's order
            for event in tf.train.summary_iterator(str(path))]


def test_scalars(start, folder):
    with start() as run:
        assert not (folder / "events").exists()
        run.scalars(3, {"child/loss": np.float32(0.5), "child/lr": 1})
        found = [(event.step, value.tag, value.simple_value)
                 for event in events(folder) for value in event.summary.value]
    assert found == [(3, "child/loss", 0.5), (3, "child/lr", 1.0)]


def test_events_below_a_name_that_is_no_utf_8(tmp_path):
    with RunDirectory.open(str(tmp_path / "\udcff"), CONFIG, False) as run:
        run.scalars(3, {"child/loss": 0.5})
        (file,) = (run.path / "events").iterdir()
        assert file.stat().st_size > 50


def test_resumed_events_drop_what_came_after(start, folder):
    """As TensorBoard reads them: a START at step s removes all from s on that came before."""
    for done, steps in ((0, [1, 2, 3, 4]), (2, [3, 4, 5])):
        with start() as run:
            run.start_events(done)
            for step in steps:
                run.scalars(step, {"x": 10 * done + step})
    kept = []
    for event in events(folder):
        if event.session_log.status == tf.SessionLog.START:
            kept = [scalar for scalar in kept if scalar[0] < event.step]
        kept += [(event.step, value.simple_value) for value in event.summary.value]
    assert kept == [(1, 1), (2, 2), (3, 23), (4, 24), (5, 25)]
