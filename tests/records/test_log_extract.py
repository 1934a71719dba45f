"""The extraction script, run as a user does, on logs of searches and of final trainings."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from conftest import GOLDEN

from AEROBI.records import published_log, search_history

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts" / "extractArcString.py"
ARCHITECTURES = ["5 5 1 0 1 1", "0 1 0 3 1 0"]
LINES = ["5", "5 1", "0 1 1", "0", "1 0", "3 1 0"]  # of a layer each
OUTPUTS = ("arc_string_output.txt", "test_accuracy_array.npy", "valid_accuracy_array.npy")


def architecture_text(architecture=ARCHITECTURES[0]):
    numbers = architecture.split()
    return published_log.architecture_lines([numbers[:1], numbers[1:3], numbers[3:]], 0.5)


def evaluation_text(epoch, valid, test):
    return [published_log.evaluation_header(epoch), published_log.evaluation_step(epoch * 10),
            published_log.accuracy_line("valid", valid), published_log.evaluation_step(epoch * 10),
            published_log.accuracy_line("test", test)]


EVALUATIONS = [line for epoch, valid, test in ((1, 0.25, 0.1), (2, 0.5, 0.2), (3, 0.5, 0.3))
               for line in evaluation_text(epoch, valid, test)]
SEARCH = [*architecture_text(ARCHITECTURES[0]), *architecture_text(ARCHITECTURES[1]), *EVALUATIONS]


@pytest.fixture
def run(tmp_path):
    """`run(lines or None, *options)`: the script in an empty folder on such a log."""
    def start(lines, *options, python_path=None):
        if lines is not None:
            (tmp_path / "log").write_text("\n".join(lines) + "\n")
        environment = {**os.environ, "PYTHONPATH": python_path or ""}
        return subprocess.run(
            [sys.executable, str(SCRIPT), "--stdout", "log", "--arc-length", "4", *options],
            cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    return start


def written(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != "log")


def assert_one_line_error(result, *parts):
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    assert all(part in result.stderr for part in parts), result.stderr


def test_search_log(run, tmp_path):
    result = run(SEARCH)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "arc_string_output.txt").read_text().splitlines() == LINES
    np.testing.assert_array_equal(np.load(tmp_path / "valid_accuracy_array.npy"), [0.25, 0.5, 0.5])
    np.testing.assert_array_equal(np.load(tmp_path / "test_accuracy_array.npy"), [0.1, 0.2, 0.3])
    assert result.stdout.splitlines()[-2:] == [
        "Best validation accuracy 0.5000 (epoch 2), test accuracy there 0.2000",
        "Best validation accuracy 0.5000 (epoch 3), test accuracy there 0.3000"]
    assert written(tmp_path) == sorted(OUTPUTS)


def test_the_files_of_a_published_search_are_the_published_ones(tmp_path):
    published = GOLDEN / "published_search"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--stdout", str(published / "stdout"), "--arc-length", "4"],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert (tmp_path / OUTPUTS[0]).read_bytes() == (published / OUTPUTS[0]).read_bytes()
    log = (published / "stdout").read_text().splitlines()
    for name in ("valid", "test"):
        expected = np.load(tmp_path / f"{name}_accuracy_array.npy")
        logged = [float(line.split()[1]) for line in log if line.startswith(f"{name}_accuracy: ")]
        np.testing.assert_array_equal(expected, logged)
        assert expected.dtype == np.float64
    assert "Best validation accuracy" in done.stdout


def test_both_forms_of_the_file_are_drawn(run, tmp_path):
    assert run(SEARCH).returncode == 0
    read = search_history.read(tmp_path / OUTPUTS[0])
    assert [str(architecture) for architecture in read.architectures] == ARCHITECTURES
    (tmp_path / OUTPUTS[0]).write_text("\n".join(ARCHITECTURES) + "\n")
    assert search_history.read(tmp_path / OUTPUTS[0]).architectures == read.architectures
    (tmp_path / OUTPUTS[0]).write_text("5\n5 1\n0 1\n")  # torn
    with pytest.raises(search_history.HistoryError, match="line 1"):
        search_history.read(tmp_path / OUTPUTS[0])


def test_final_log_has_no_architectures(run, tmp_path):
    result = run(EVALUATIONS, "--output_dir", "new/folder")
    assert result.returncode == 0
    assert result.stdout.startswith("0 architectures, none written\n")
    assert written(tmp_path / "new" / "folder") == sorted(OUTPUTS[1:])


def test_log_before_the_first_evaluation(run, tmp_path):
    result = run(architecture_text())
    assert result.returncode == 0
    assert "0 validation accuracies, none written" in result.stdout
    assert "Best" not in result.stdout
    assert written(tmp_path) == [OUTPUTS[0]]


def test_missing_log(run, tmp_path):
    assert_one_line_error(run(None), "log: No such file")
    assert written(tmp_path) == []


def test_folder_in_place_of_a_log(run):
    assert_one_line_error(run(None, "--stdout", "."), "directory")


def test_nothing_in_the_log(run, tmp_path):
    assert_one_line_error(run(["hello"]), "log: neither architectures nor accuracies")
    assert written(tmp_path) == []


def test_torn_architecture_leaves_old_outputs(run, tmp_path):
    (tmp_path / "arc_string_output.txt").write_text("old")
    assert_one_line_error(run([*SEARCH, "[5]", *architecture_text()]), "log: line 27", "layer 1")
    assert written(tmp_path) == ["arc_string_output.txt"]
    assert (tmp_path / "arc_string_output.txt").read_text() == "old"


def test_new_outputs_replace_old_ones(run, tmp_path):
    (tmp_path / "arc_string_output.txt").write_text("old")
    assert run(SEARCH).returncode == 0
    assert (tmp_path / "arc_string_output.txt").read_text().splitlines() == LINES


def test_output_folder_that_cannot_be(run):
    assert_one_line_error(run(SEARCH, "--output_dir", "log"), "log")


def test_bytes_that_are_no_text(run, tmp_path):
    lines = "\n".join(SEARCH).encode()
    (tmp_path / "log").write_bytes(b"\xff\xfe\x00 progress\r" + lines + b"\r\n")
    assert run(None).returncode == 0


@pytest.mark.parametrize("value", ["0", "1", "-1", "x", "\u0661x"])
def test_wrong_number_of_layers(run, value):
    result = run(SEARCH, "--arc-length", value)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_an_importable_package_is_preferred(run, tmp_path):
    (tmp_path / "AEROBI").mkdir()
    (tmp_path / "AEROBI" / "__init__.py").write_text("raise SystemExit(7)")
    assert run(SEARCH, python_path=str(tmp_path)).returncode == 7
