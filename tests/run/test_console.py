"""A console that takes no more: one line, and never a traceback."""

import logging
import os
import pathlib
import subprocess
import sys

import pytest
import tiny_run
from warm_process import WarmProcess

from AEROBI.run.console import ConsoleHandler

FULL = pathlib.Path("/dev/full")
LINE = "Error: output: No space left on device\n"


def aerobi(stdout, *words, unbuffered="") -> tuple[int, str]:
    """Exit status and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "AEROBI.cli", *map(str, words)], stdout=stdout, text=True,
        stderr=subprocess.PIPE, timeout=60, check=False,
        env={**tiny_run.environment(), "PYTHONUNBUFFERED": unbuffered})
    return done.returncode, done.stderr


@pytest.mark.parametrize("words, unbuffered", [
    (["--help"], ""), (["--help"], "1"), (["--version"], ""), (["search", "--helpfull"], "1"),
    (["select", "--help"], "")])  # unbuffered, argparse itself is silent about it
def test_help_that_cannot_be_written(words, unbuffered):
    with FULL.open("w") as full:
        assert aerobi(full, *words, unbuffered=unbuffered) == (2, LINE)


def test_help_that_nobody_reads():
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        assert aerobi(write_end, "--help") == (141, "")
    finally:
        os.close(write_end)


def test_what_has_nothing_but_a_log_to_say(tiny_data, tmp_path):
    with FULL.open("w") as full:
        assert aerobi(full, "pack", tiny_data, "--cache_dir", tmp_path) == (2, LINE)
        assert os.listdir(tmp_path) == []
        sizes = ["--train=2", "--val=2", "--test=2"]
        assert aerobi(full, "sample-data", *sizes, "--output", tmp_path / "x") == (2, LINE)


def test_a_run_goes_on_without_its_console(tiny_data, tmp_path):
    flags = {**tiny_run.SHALLOW_FINAL, "data_path": tiny_data, "num_epochs": 1,
             "cache_dir": tmp_path / "cache", "output_dir": tmp_path / "run"}
    process = WarmProcess("AEROBI.main", tiny_run.words(flags), tiny_run.environment(), FULL,
                          merged=False)
    assert process.wait(timeout=120) == 0
    assert process.stderr.read() == (
        "WARNING: stdout: No space left on device; the run goes on, and logs into the file "
        "stdout of its --output_dir\n")
    assert "best validation" in (tmp_path / "run/stdout").read_text().lower()


def test_a_log_on_a_full_console(monkeypatch, capsys):
    record = logging.LogRecord("AEROBI", logging.INFO, "", 0, "a line", None, None)
    with FULL.open("w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(OSError, match="No space"):
            ConsoleHandler().emit(record)
        handler = ConsoleHandler("it goes on")
        handler.emit(record)
        handler.emit(record)
    assert capsys.readouterr().err == (
        "WARNING: stdout: No space left on device; it goes on\n")
