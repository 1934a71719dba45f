"""How commands end: silence on success, one line otherwise, nothing half-written."""

import argparse
import os
import signal
import subprocess
import sys
import time

import pytest
import tiny_run

from AEROBI.commands import evaluate, export, predict
from AEROBI.commands.arguments import number, whole_number
from AEROBI.commands.outcome import UsageError, finish
from AEROBI.config import ConfigError


def run(*words, **options) -> subprocess.CompletedProcess:
    """`aerobi` with these words."""
    return subprocess.run(command(*words), text=True, timeout=180, capture_output=True,
                          env=tiny_run.environment(), check=False, **options)


def command(*words) -> list[str]:
    return [sys.executable, "-m", "AEROBI.cli", *map(str, words)]


def start(*words) -> subprocess.Popen:
    return subprocess.Popen(command(*words), text=True, env=tiny_run.environment(),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def silent(*words) -> str:
    """Runs it to a success without a word on stderr; returns what is on stdout."""
    done = run(*words)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


@pytest.mark.parametrize("raised, line", [
    (ConfigError("x: no such run"), "Error: x: no such run\n"),
    (UsageError("--x: no"), "Error: --x: no\n"),
    (FileNotFoundError(2, "No such file or directory", "a/b"),
     "Error: a/b: No such file or directory\n"),
    (OSError(28, "No space left on device"), "Error: output: No space left on device\n"),
    (OSError("x: cannot be written"), "Error: x: cannot be written\n")])
def test_errors_for_the_user_are_one_line(raised, line, capsys):
    def action():
        raise raised

    assert finish(action) == 2
    assert capsys.readouterr().err == line


def test_a_fault_of_the_program_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        finish(lambda: 1 // 0)


def test_numbers_on_the_command_line():
    assert whole_number(1, 9)("9") == 9 and number(0, 1)("0.5") == 0.5
    for kind, text in ((whole_number(1), "0"), (whole_number(1, 9), "10"), (whole_number(8), "-9"),
                       (whole_number(1), "9" * 5000), (whole_number(1), "²"), (number(0, 1), "nan"),
                       (number(0, 1), "x")):
        with pytest.raises(argparse.ArgumentTypeError, match="is not a"):
            kind(text)


def test_choosing_is_silent(tiny_search, tmp_path):
    silent("select", tiny_search, "--samples", 2, "--output", tmp_path / "ranking.json")


def test_what_uses_a_final_training_is_silent(tiny_final, tiny_data, tmp_path):
    silent("evaluate", tiny_final)
    photo = next((tiny_data / "test").rglob("*.png"))
    assert str(photo) in silent("predict", tiny_final, photo)
    silent("export", tiny_final, "--output", tmp_path / "model")
    assert str(photo) in silent("predict", tmp_path / "model", photo)
    silent("report", tiny_final, "--output", tmp_path / "report.html")


@pytest.mark.parametrize("command_line", [predict.main, evaluate.main, export.main])
@pytest.mark.parametrize("side", ["-1", "0", "1" + 20 * "0"])
def test_an_impossible_patch_is_refused(command_line, side, capsys):
    with pytest.raises(SystemExit) as stopped:
        command_line(["run", "--img_size", side])
    assert stopped.value.code == 2
    assert "--img_size" in (message := capsys.readouterr().err) and "8 to 4096" in message


@pytest.mark.parametrize("word, number", [
    ("pack", signal.SIGINT), ("select", signal.SIGINT), ("export", signal.SIGINT),
    ("report", signal.SIGINT), ("export", signal.SIGTERM)])
def test_stopped_in_the_middle(word, number, tiny_data, request, tmp_path):
    """The signal comes once the command has begun to write, or is at work."""
    words = {"pack": lambda: (tiny_data, "--cache_dir", tmp_path, "--img_size", 900),
             "select": lambda: (run_of("tiny_search"), "--samples", 50_000, "--output",
                                tmp_path / "x.json"),
             "export": lambda: (run_of("tiny_final"), "--output", tmp_path / "model"),
             "report": lambda: (run_of("tiny_final"), "--output", tmp_path / "x.html")}
    run_of = request.getfixturevalue
    process = start(word, *words[word]())
    deadline = time.monotonic() + 120
    if word in ("pack", "export"):
        while not os.listdir(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.01)
    else:
        loaded = {"select": "tensorflow", "report": "matplotlib"}[word]
        while loaded not in mapped(process) and time.monotonic() < deadline:
            time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number, (out, err)
    if number == signal.SIGINT:
        assert err.startswith("Stopped") and err.count("\n") == 1, err
    else:
        assert err == ""
    assert os.listdir(tmp_path) == []


def mapped(process: subprocess.Popen) -> str:
    """Which libraries a process has loaded by now."""
    with open(f"/proc/{process.pid}/maps") as file:
        return file.read()


def test_a_path_with_a_nul_is_one_line(capsys):
    from AEROBI.commands import sample_data

    assert sample_data.main(["--output", "nowhere/\0"]) == 2
    assert capsys.readouterr().err == (
        "Error: a path holds a NUL character; name another one\n")
