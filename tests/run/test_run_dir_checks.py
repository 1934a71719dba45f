"""Which folders a run accepts, empties and refuses."""

import json
import logging
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import AEROBI
from AEROBI.records.run_files import json_lines
from AEROBI.run.run_dir import RunDirectory, RunDirectoryError

CONFIG = {"batch_size": 16, "child_lr_max": 0.01, "child_fixed_arc": None, "output_dir": "a",
          "child_lr_cosine": True, "arcs": [1, 2]}
MAY_CHANGE = frozenset({"output_dir"})


def metrics_of(run):
    """What stands in metrics.jsonl."""
    return list(json_lines(run.path / "metrics.jsonl", []))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "parent" / "run"


@pytest.fixture
def start(folder):
    """`start(reset, **changed flags)`: opens the run directory; closed after the test."""
    opened = []

    def open_it(reset=False, **changes):
        opened.append(RunDirectory.open(
            str(folder), {**CONFIG, **changes}, reset, MAY_CHANGE))
        return opened[-1]

    yield open_it
    for run in opened:
        run.close()


def finish(run):
    """Everything that a run may write."""
    with run:
        run.write_metrics({"step": 1})
        run.write_architecture({"epoch": 1})
        run.scalars(1, {"a": 1.0})
        run.write_best_architecture("0 1 1")
        (run.path / "checkpoints").mkdir()
        (run.path / "checkpoints" / "checkpoint-0.index").write_text("x")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_that_is_older_than_a_flag_had_its_default(folder):
    RunDirectory.open(str(folder), CONFIG, False, MAY_CHANGE).close()
    now = {**CONFIG, "precision": "float32"}
    with RunDirectory.open(str(folder), now, False, MAY_CHANGE, {"precision": "float32"}) as run:
        assert run.resumed


def test_with_another_value_of_the_new_flag_it_is_another_run(folder):
    RunDirectory.open(str(folder), CONFIG, False, MAY_CHANGE).close()
    with pytest.raises(RunDirectoryError, match="--precision: not there in the directory"):
        RunDirectory.open(str(folder), {**CONFIG, "precision": "bfloat16"}, False, MAY_CHANGE,
                          {"precision": "float32"})


def refused(path, *parts, reset=False, config=CONFIG):
    with pytest.raises(RunDirectoryError) as error:
        RunDirectory.open(str(path), config, reset, MAY_CHANGE)
    assert all(part in str(error.value) for part in parts), error.value


# --- new, resumed, refused -------------------------------------------------------------


def test_empty_directory_is_new(start, folder):
    folder.mkdir(parents=True)
    (folder / "config.json.tmp").write_text("left by a kill at the very start")
    assert not start().resumed


def test_same_settings_resume(start):
    finish(start())
    run = start(output_dir="moved", arcs=(1, 2))
    assert run.resumed
    assert metrics_of(run) == [{"step": 1}]


def test_other_settings_are_refused_and_listed(start, folder):
    finish(start())
    before = contents(folder)
    changed = {**CONFIG, "batch_size": 32, "child_fixed_arc": "0 1 1", "new": 1}
    del changed["child_lr_max"]
    refused(folder, str(folder), "--batch_size: 16 in the directory, 32 now",
            "--child_fixed_arc: null in the directory, 0 1 1 now",
            "--new: not there in the directory, 1 now",
            "--child_lr_max: 0.01 in the directory, not there now", "--reset_output_dir",
            config=changed)
    assert contents(folder) == before


@pytest.mark.parametrize("reset", [False, True])
def test_foreign_folders_are_refused(tmp_path, reset):
    (tmp_path / "thesis.tex").write_text("years of work")
    refused(tmp_path, str(tmp_path), "thesis.tex", "--output_dir", reset=reset)
    assert contents(tmp_path) == {"thesis.tex": b"years of work"}


@pytest.mark.parametrize("config", ["", "{", "[]", '{"format": "other"}', "\udc80",
                                    '{"format": "AEROBI run"}',
                                    '{"format": "AEROBI run", "configuration": 1}'])
@pytest.mark.parametrize("reset", [False, True])
def test_a_config_of_somebody_else_is_no_mark(tmp_path, config, reset):
    (tmp_path / "config.json").write_bytes(config.encode("utf-8", "surrogateescape"))
    (tmp_path / "stdout").write_text("precious")
    refused(tmp_path, "config.json, stdout", reset=reset)
    assert (tmp_path / "stdout").read_text() == "precious"


@pytest.mark.parametrize("reset", [False, True])
def test_paths_that_cannot_be(tmp_path, reset):
    refused("", "--output_dir is empty", reset=reset)
    refused("  ", "--output_dir is empty", reset=reset)
    (tmp_path / "file").write_text("x")
    refused(tmp_path / "file", "is a file", reset=reset)
    refused(tmp_path / "file" / "below", "file", "--output_dir", reset=reset)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    refused(tmp_path / "link", "broken link", reset=reset)
    refused("/proc/run", "/proc/run", reset=reset)
    assert (tmp_path / "file").read_text() == "x"


def test_settings_that_are_no_json_leave_the_run(start, folder):
    finish(start())
    before = contents(folder)
    with pytest.raises(ValueError, match="not JSON compliant"):
        start(reset=True, batch_size=float("nan"))
    assert contents(folder) == before


# --- reset -----------------------------------------------------------------------------


def test_reset_starts_over(start, folder):
    finish(start())
    run = start(reset=True, batch_size=32)
    assert not run.resumed
    assert metrics_of(run) == []
    assert sorted(path.name for path in folder.iterdir()) == [
        "architectures.jsonl", "config.json", "metrics.jsonl", "stdout", "versions.json"]
    assert json.loads((folder / "config.json").read_text())["configuration"]["batch_size"] == 32


@pytest.mark.parametrize("name", ["notes.txt", "model.ckpt-1.index", "checkpoints.old/x"])
def test_reset_refuses_unknown_files(start, folder, name):
    finish(start())
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("mine")
    before = contents(folder)
    refused(folder, str(folder), name.split("/")[0], "removes nothing", reset=True)
    assert contents(folder) == before
    assert start().resumed  # nothing is removed then


@pytest.mark.parametrize("name", [
    "checkpoints/notes.txt", "checkpoints/checkpoint-0.index.bak", "checkpoints/checkpoint-0.txt",
    "checkpoints/mine/x", "best/photo.png", "events/events.csv",
    "events/old/events.out.tfevents.1"])
def test_reset_refuses_unknown_files_in_a_runs_folders(start, folder, name):
    finish(start())
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("mine")
    before = contents(folder)
    refused(folder, "/".join(name.split("/")[:2]), "removes nothing", reset=True)
    assert contents(folder) == before


def test_reset_removes_what_a_killed_run_left(start, folder):
    finish(start())
    for name in ("checkpoints/checkpoint", "checkpoints/checkpoint-1.json",
                 "checkpoints/checkpoint-1.json.0123456789abcdef.tmp",
                 "checkpoints/checkpoint-1.data-00000-of-00001.tempstate1234567890123",
                 "checkpoints/checkpoint.tmp" + "0f" * 16, "checkpoints/checkpoint-1_temp/part",
                 "report.html.0123456789abcdef.tmp", "config.json.tmp"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("half")
    assert not start(reset=True).resumed
    assert not (folder / "checkpoints").exists()


@pytest.mark.parametrize("name", ["metrics.jsonl", "architectures.jsonl"])
def test_a_run_without_its_checkpoints_is_not_begun_anew(start, folder, name):
    finish(start())
    (folder / "checkpoints" / "checkpoint-0.index").unlink()
    (folder / "checkpoints").rmdir()
    (folder / {"metrics.jsonl": "architectures.jsonl"}.get(name, "metrics.jsonl")).write_text("")
    before = contents(folder)
    refused(folder, "checkpoints: is missing", "--reset_output_dir")
    assert contents(folder) == before
    assert not start(reset=True).resumed


def test_a_run_killed_before_its_first_step_begins_anew(start, folder):
    with start():
        logging.getLogger("AEROBI.x").info("Packing")
    assert start().resumed  # the folder; there is nothing to go on from


def test_reset_follows_no_link(start, folder, tmp_path):
    finish(start())
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x").write_text("precious")
    (folder / "checkpoints" / "inner").symlink_to(outside)
    (folder / "events").rename(tmp_path / "old events")
    (folder / "events").symlink_to(outside)
    refused(folder, "events", reset=True)
    (folder / "events").unlink()
    (tmp_path / "link").symlink_to(folder)
    for path in (tmp_path / "link", f"{tmp_path}/link/"):
        refused(path, "is a link", str(folder), reset=True)
    assert (folder / "checkpoints" / "inner").is_symlink()
    refused(folder, "checkpoints/inner", reset=True)
    (folder / "checkpoints" / "inner").unlink()
    start(reset=True)
    assert not (folder / "checkpoints").exists()
    assert (outside / "x").read_text() == "precious"


def test_a_link_is_resumed(start, folder, tmp_path):
    finish(start())
    (tmp_path / "link").symlink_to(folder)
    run = RunDirectory.open(str(tmp_path / "link"), CONFIG, False, MAY_CHANGE)
    assert run.resumed
    run.close()


@pytest.mark.parametrize("name", ["stdout", "metrics.jsonl", "architectures.jsonl"])
def test_nothing_is_added_to_a_file_elsewhere(start, folder, tmp_path, name):
    finish(start())
    (folder / name).rename(tmp_path / "precious")
    (folder / name).symlink_to(tmp_path / "precious")
    before = (tmp_path / "precious").read_bytes()
    refused(folder, f"{name}: is a link", "put the file itself there")
    refused(folder, name, reset=True)
    assert (tmp_path / "precious").read_bytes() == before


@pytest.mark.parametrize("name", ["stdout", "checkpoints", "config.json"])
def test_file_in_place_of_folder_and_back(start, folder, name):
    finish(start())
    path = folder / name
    path.rename(folder.parent / name)
    if name == "checkpoints":
        path.write_text("x")
    else:
        path.mkdir()
    refused(folder, name, reset=True)


# --- other processes -------------------------------------------------------------------

WRITER = """
import sys
sys.path.insert(0, sys.argv[2])
import json, logging
from AEROBI.run.run_dir import RunDirectory
with RunDirectory.open(sys.argv[1], json.loads(sys.argv[3]), False) as run:
    (run.path / "checkpoints").mkdir()
    for step in range(10**9):
        logging.getLogger("AEROBI.x").info("step %d", step)
        run.write_metrics({"step": step, "text": "x" * 500})
        if step == 50:
            print("ready", flush=True)
"""


def test_another_process_is_kept_out_until_it_is_killed(start, folder):
    source = pathlib.Path(AEROBI.__file__).parents[1]
    with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(source), json.dumps(CONFIG)],
            stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "ready\n"
            for reset in (False, True):
                refused(folder, str(folder), "another run is writing into it", reset=reset)
        finally:
            process.send_signal(signal.SIGKILL)
    with start() as run:
        steps = [record["step"] for record in metrics_of(run)]
    assert steps == list(range(len(steps)))
    assert len(steps) > 50
    assert (folder / "stdout").read_text().endswith("\n")


STARTER = """
import sys
sys.path.insert(0, sys.argv[2])
import json, time
from AEROBI.run.without_keras import without_keras
with without_keras():
    from AEROBI.run.run_dir import RunDirectory, RunDirectoryError
print("ready", flush=True)
for begin in sys.stdin:
    time.sleep(max(0.0, float(begin) - time.time()))
    try:
        with RunDirectory.open(sys.argv[1], json.loads(sys.argv[3]), True) as run:
            print("runs", flush=True)
            sys.stdin.readline()
    except RunDirectoryError as error:
        print("refused" if "another run" in str(error) else error, flush=True)
        sys.stdin.readline()
    print("over", flush=True)
"""


def test_of_many_that_start_over_at_once_one_runs(start, folder):
    finish(start())
    source = str(pathlib.Path(AEROBI.__file__).parents[1])
    processes = [subprocess.Popen(
        [sys.executable, "-c", STARTER, str(folder), source, json.dumps(CONFIG)], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(3)]

    def tell(line: object) -> None:
        for process in processes:
            process.stdin.write(f"{line}\n")
            process.stdin.flush()

    def answers() -> list[str]:
        return sorted(process.stdout.readline().strip() for process in processes)

    try:
        assert answers() == ["ready"] * 3
        for _ in range(3):
            tell(time.time() + 0.2)
            assert answers() == ["refused", "refused", "runs"]
            tell("end")
            assert answers() == ["over"] * 3
    finally:
        for process in processes:
            process.communicate()
