"""scripts/studies/benchmark.py: the twins compute what the children do; the table and the JSON."""

import dataclasses
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts/studies"))

import tiny_run  # noqa: E402
from bench import growth, memory  # noqa: E402
from bench.data import photograph, write_tree  # noqa: E402
from bench.floor import Floor  # noqa: E402
from bench.path import arithmetic, kernels  # noqa: E402
from bench.report import Row, machine, table, write_json  # noqa: E402
from bench.setting import Setting  # noqa: E402
from bench.timing import Competitor, Effort, interleave  # noqa: E402

from AEROBI.architecture import Architecture  # noqa: E402

SEARCH = Setting(filters=4, size=9, layers=3, batch=4, architectures=4, seed=1, keep_prob=1.0)
FINAL = Setting(filters=4, size=9, batch=4, keep_prob=1.0, final=True)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch")
def test_the_twins():
    """In a process of their own: this one has TensorFlow, and PyTorch must come first."""
    done = subprocess.run([sys.executable, str(ROOT / "tests/helpers/torch_twins.py")], text=True,
                          capture_output=True, env=tiny_run.environment(), timeout=180, check=False)
    assert (done.returncode, done.stdout) == (0, "3 checks\n"), done.stderr


@pytest.mark.parametrize("module", ["bench.sections", "bench.data"])
def test_a_process_with_both_loads_pytorch_whole_before_tensorflow(module):
    """Whether it is installed or not: a finder notes who is asked for, up to TensorFlow."""
    done = subprocess.run([sys.executable, "-c", f"""
import os, sys
asked = []
class Finder:
    def find_spec(self, name, *_):
        if name in ("torch", "triton"):
            asked.append(name)
            raise ModuleNotFoundError(name)
        if name == "tensorflow":
            os.write(1, " ".join(asked).encode())
            os._exit(0)
sys.meta_path.insert(0, Finder())
import {module}
import tensorflow"""], capture_output=True, text=True, timeout=60, check=False, env={
        **tiny_run.environment(), "PYTHONPATH": os.pathsep.join(
            [str(ROOT / "src"), str(ROOT / "scripts/studies")])})
    assert (done.returncode, done.stdout) == (0, "torch triton"), done.stderr


def test_the_twin_is_compared_under_every_operation():
    assert {op for architecture in SEARCH.chosen() for op in architecture.ops} == set(range(6))


def test_the_floor_runs_every_kernel_of_the_path():
    # All six operations, one a layer.
    text = " ".join(" ".join([str(op), *["1"] * op]) for op in range(6))
    architecture = Architecture.parse(text, 6)
    setting = dataclasses.replace(SEARCH, layers=6)
    for backward in (False, True):
        floor = Floor(setting, architecture, backward)
        floor.run()
        floor.close()
    path = kernels(architecture, setting.filters, setting.size)
    assert {kernel.kind for kernel in path} == {
        "conv", "depthwise", "average_pooling", "max_pooling", "bn", "add"}
    assert sum(kernel.kind == "add" for kernel in path) == 15
    # Stem, two an operation (three a separable one, one a pooling), reductions of 3 + 5 tensors.
    assert sum(kernel.kind == "conv" for kernel in path) == 1 + 4 * 2 + 2 + 8
    assert {kernel.side for kernel in path} == {9, 5, 3}


def test_arithmetic_of_a_path_by_hand():
    architecture = Architecture.parse("0", 1)
    convolutions = 64 * (27 * 2 + 2 * 2 + 9 * 2 * 2)
    norms = 3 * 64 * 2
    assert arithmetic(kernels(architecture, 2, 8)) == convolutions + norms


def test_exponent():
    assert growth.exponent([1, 2, 4], [3, 12, 48]) == pytest.approx(2)


def test_competitors_take_turns():
    chosen, order = SEARCH.chosen(), []
    times = interleave(
        [Competitor("a", lambda _: order.append("a"), chosen),
         Competitor("b", lambda _: order.append("b"), chosen[:1])], Effort(4, 60, 1), "")
    assert "".join(order) == "abaaa" * 5
    assert (times["a"].count, times["b"].count) == (16, 4)
    assert times["a"].low <= times["a"].median <= times["a"].high
    times["a"].values[chosen[0]], times["b"].values[chosen[0]] = [1, 2, 9], [4, 4, 4]
    assert times["a"].ratio(times["b"]) == pytest.approx(0.5)


def test_rows_become_a_table_and_json(tmp_path):
    rows = [Row("search", "16 filters", "ratio", 0.4, "ratio", target="<= 0.45"),
            Row("search", "16 filters", "slow", 0.6, "ratio", target="<= 0.45"),
            Row("data", "reading", "rate", 200.0, "images/s", 190.0, 210.0, 3, ">= 150"),
            Row("data", "reading", "none", None, "ratio", target="<= 1", note="not available")]
    assert [row.met for row in rows] == [True, False, True, None]
    lines = table(rows, {**machine(), "load": 0.0}).splitlines()
    assert [line for line in lines if "search: 16 filters" in line]
    assert [line for line in lines if " met" in line and "190.0 to 210.0 of 3" in line]
    assert [line for line in lines if "MISSED" in line and "0.600" in line]
    write_json(tmp_path / "out.json", rows, machine(), 1.0)
    quiet, busy = (table(rows, {**machine(), "load": load}) for load in (0.0, 9.0))
    assert "NOT QUIET" in busy and "MISSED" not in busy and "NOT QUIET" not in quiet
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["machine"]["cores"] and record["rows"][1]["met"] is False


def test_a_data_set_of_photographs(tmp_path):
    content = photograph(np.random.default_rng(0), 70, 50)
    assert 0.35 < len(content) / (70 * 50 * 3) < 0.9  # a photograph compresses like this
    splits = write_tree(tmp_path / "data", [content] * 20).splits
    assert {name: len(split.paths) for name, split in splits.items()} == {
        "train": 16, "val": 2, "test": 2}


def test_memory_is_measured_in_a_process_of_its_own():
    rows = {row.name: row.value for row in memory.measure_growth(2, 8, 3)}
    assert 50 < rows["resident after 3"] == rows["resident at the end"]


def run_script(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts/studies/benchmark.py"), *map(str, words)],
        capture_output=True, text=True, env=tiny_run.environment(), timeout=180, check=False)


def test_the_script_writes_table_and_json(tmp_path):
    output = tmp_path / "out.json"
    done = run_script("--quick", "--only", "all_six", "bfloat16", "--filters=2", "--sizes=8",
                      "--layers=2",                       "--output", output)
    assert done.returncode == 0, done.stderr
    assert "AEROBI / all six operations" in done.stdout
    rows = json.loads(output.read_text())["rows"]
    assert {row["section"] for row in rows} == {"all_six", "bfloat16"}
    assert all(row["value"] > 0 for row in rows if row["section"] == "all_six")


@pytest.mark.parametrize("words", [["--filters=3"], ["--sizes=0"], ["--only", "tea"],
                                   ["--output=/no/such/folder/x.json"]])
def test_bad_words_are_one_line(words):
    done = run_script(*words)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("benchmark.py: error:")
