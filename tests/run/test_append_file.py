"""Files that only grow."""

import logging
import subprocess
import sys

import pytest
import tiny_run

from AEROBI.run.append_file import AppendFile, LineHandler


class FullDisk:
    """An AppendFile on a disk that takes nothing more."""

    def write(self, text: str):
        raise OSError("the disk is full")


def test_a_disk_that_is_full_ends_a_run_once():
    """The error that already ends it is not replaced by another one."""
    def record(level: int) -> logging.LogRecord:
        return logging.LogRecord("run", level, "", 0, "a line", None, None)

    LineHandler(FullDisk()).emit(record(logging.ERROR))
    handler = LineHandler(FullDisk())
    with pytest.raises(OSError, match="full"):
        handler.emit(record(logging.INFO))
    handler.emit(record(logging.INFO))  # what is said about that


def test_the_lock_outlives_what_a_start_cuts(tmp_path):
    """Closing another descriptor of the file must not give the lock up."""
    file = AppendFile(tmp_path / "log")
    file.write("earlier\n")
    assert file.lock()
    file.cut(0, file.size())
    again = ("import pathlib, sys; from AEROBI.run.append_file import AppendFile; "
             "sys.exit(AppendFile(pathlib.Path(sys.argv[1])).lock())")
    done = subprocess.run([sys.executable, "-c", again, str(tmp_path / "log")],
                          env=tiny_run.environment(), timeout=60, check=False)
    assert done.returncode == 0
    file.close()
