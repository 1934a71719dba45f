"""Disks that are full, read-only or gone under a run: a clear line, and the last checkpoint."""

import contextlib
import json
import logging
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest
import tensorflow.compat.v1 as tf
import tiny_run
from checkpoint_run import Run

from AEROBI.commands import export as export_command
from AEROBI.run.append_file import AppendFile, LineHandler
from AEROBI.run.checkpoints import CheckpointError
from AEROBI.run.run_dir import RunDirectory

MEGABYTE = 2 ** 20


@pytest.fixture
def disk(tmp_path):
    """A disk of its own; needs the right to mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = shutil.which("mount") and subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True,
        check=False).returncode == 0
    if not made:
        pytest.skip("no right to mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def remount(disk, option):
    subprocess.run(["mount", "-o", f"remount,{option}", disk], check=True)


def fill(disk, leave=0):
    """Takes all of the disk but `leave` bytes; returns the file that does."""
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free - leave
    with ballast.open("wb", buffering=0) as file:
        try:
            while free > 0 and (wrote := file.write(bytes(min(free, MEGABYTE)))):
                free -= wrote
        except OSError:
            assert not leave
    return ballast


@contextlib.contextmanager
def standing_still(process):
    """The process does nothing within the block: it opens no file, and writes none half."""
    process.send_signal(signal.SIGSTOP)
    # Its parent may be another process than this one, so it cannot be waited for.
    status = pathlib.Path(f"/proc/{process.pid}/stat")
    while status.read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.01)
    yield
    process.send_signal(signal.SIGCONT)


def get_full(disk, _):
    return fill(disk).unlink


def go_read_only(disk, process):
    """The folder of the checkpoints; a mount with files open for writing cannot be made so."""
    folder = disk / "run" / "checkpoints"
    with standing_still(process):
        subprocess.run(["mount", "--bind", folder, folder], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", folder], check=True)
    return lambda: subprocess.run(["umount", folder], check=True)


def vanish(folder, process):
    """Back comes what was there."""
    with standing_still(process):
        shutil.copytree(folder / "run", folder / "copy")
        shutil.rmtree(folder / "run")
    return lambda: (shutil.rmtree(folder / "run", ignore_errors=True),
                    (folder / "copy").rename(folder / "run"))


@pytest.fixture(scope="module")
def flags(tiny_data, tmp_path_factory):
    """Of a long final training with a checkpoint after every step, but for `output_dir`."""
    return {**tiny_run.SHALLOW_FINAL, "data_path": tiny_data, "num_epochs": 400,
            "eval_every_epochs": 400, "checkpoint_secs": 0,
            "cache_dir": tmp_path_factory.mktemp("cache")}


def steps_of(run_dir):
    """The steps of the records, each line whole."""
    lines = (run_dir / "metrics.jsonl").read_text().split("\n")
    assert lines[-1] == ""
    return [json.loads(line)["step"] for line in lines[:-1]]


@pytest.mark.parametrize("fault", [
    get_full, pytest.param(go_read_only, marks=pytest.mark.long)])
def test_a_fault_under_a_run(disk, flags, fault):
    endure(fault, disk, flags)


def test_a_run_whose_folder_vanishes(tmp_path, flags):
    assert "the folder is gone" in endure(vanish, tmp_path, flags)


def endure(fault, disk, flags):
    """Stops with a clear line, and goes on when all is well again; what it said when it stopped."""
    run = {**flags, "output_dir": disk / "run"}
    process = tiny_run.start(run)
    tiny_run.wait_for(disk / "run" / "stdout", r"ch_step=5 ", process)
    repair = fault(disk, process)
    stopped, _ = process.communicate(timeout=120)
    assert process.returncode == 2, stopped
    assert "Traceback" not in stopped and "Logging error" not in stopped, stopped
    errors = [line for line in stopped.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1 and str(disk / "run") in errors[0], stopped
    repair()
    process = tiny_run.start(run)
    tiny_run.wait_for(disk / "run" / "stdout", r"Resuming after (.|\n)*ch_step=", process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM and "checkpoint written" in output
    steps = steps_of(disk / "run")
    assert steps == list(range(1, len(steps) + 1)) and len(steps) >= 5
    return stopped


@pytest.mark.long
def test_a_start_on_a_read_only_disk(disk, flags):
    remount(disk, "ro")
    output = tiny_run.run({**flags, "output_dir": disk / "run"}, expect=2)
    assert "Traceback" not in output and "Error: " in output
    assert f"{disk / 'run'}: Read-only file system" in output and "--output_dir" in output


def restored(folder):
    """What a fresh process would go on from."""
    with tf.Graph().as_default():
        run = Run(folder)
    try:
        return run.restore()
    finally:
        run.session.close()


def save_again(folder):
    """As a process that is started again does."""
    with tf.Graph().as_default():
        run = Run(folder)
    try:
        run.restore()
        run.save(run.count())
    finally:
        run.session.close()


def test_at_whatever_byte_the_disk_is_full_there_is_a_checkpoint(disk):
    """From no room at all to enough of it."""
    folder = disk / "checkpoints"
    save_again(folder)
    before = shutil.disk_usage(disk).free
    save_again(folder)
    size, count, failed = before - shutil.disk_usage(disk).free, 2, 0
    assert size > 0
    for leave in range(0, 2 * size, os.sysconf("SC_PAGE_SIZE")):
        ballast = fill(disk, leave)
        try:
            save_again(folder)
        except CheckpointError as error:
            failed += 1
            assert "space" in str(error)
        ballast.unlink()
        before, count = count, restored(folder)["count"]
        assert before <= count <= before + 1
    assert failed and count > 2


LIMITED = """
import resource, signal, sys
sys.path[:0] = sys.argv[2:]
from checkpoint_run import Run, tf
from AEROBI.run.checkpoints import CheckpointError

with tf.Graph().as_default():
    run = Run(sys.argv[1])
run.restore()
resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
try:
    run.save(1)
except CheckpointError as error:
    sys.exit(f"told: {error}")
"""


def test_a_limit_on_the_size_of_files(tmp_path):
    """As a quota is: the process may write no more."""
    with tf.Graph().as_default():
        run = Run(tmp_path / "checkpoints")
    run.save(0)
    run.session.close()
    root = pathlib.Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "checkpoints", root / "src",
         root / "tests/helpers"],
        capture_output=True, text=True, timeout=120, check=False)
    assert "told: " in result.stderr and "checkpoint-1" in result.stderr, result.stderr[-2000:]
    assert restored(tmp_path / "checkpoints")["count"] == 1


@pytest.mark.parametrize("free", [0, 30_000, 200_000])
def test_a_disk_that_is_full_under_an_export(disk, tiny_final, tmp_path, capsys, free):
    fill(disk, free)
    assert export_command.main([str(tiny_final), f"--output={disk / 'model'}",
                                f"--cache_dir={tmp_path}"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("Error: ") and message.count("\n") == 1 and "space" in message
    assert [path.name for path in disk.iterdir()] == ["ballast"]


def test_a_disk_that_is_full_of_events(disk):
    """In the first flush, or any later one; no thread of anybody tells of it by itself."""
    with RunDirectory.open(str(disk / "run"), {}, False) as run_dir:
        run_dir.start_events(0)
        fill(disk, 20_000)
        with pytest.raises(OSError, match=r"events\.out\..*disk space"):
            for step in range(100_000):
                run_dir.scalars(step, {"loss": 1.0})
    assert step > 10


def test_a_log_that_cannot_be_written_ends_the_run_once():
    file = AppendFile(pathlib.Path("/dev/full"))
    handler = LineHandler(file)
    record = logging.LogRecord("AEROBI", logging.INFO, "", 0, "a line", None, None)
    with pytest.raises(OSError):
        handler.emit(record)
    handler.emit(record)  # the message about it goes to the console alone
    file.close()
