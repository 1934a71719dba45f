"""`--xla`: compiled, the same logits, the same random numbers, and routing that still routes."""

import json
import os
import subprocess
import sys

import pytest
import tiny_run
import xla_child
from conftest import assert_close

from AEROBI import main
from AEROBI.tf_setup import session_config


@pytest.fixture(scope="module")
def compiled() -> dict:
    """By precision; flags of XLA are for a whole process."""
    done = subprocess.run(
        [sys.executable, xla_child.__file__], stdout=subprocess.PIPE, timeout=180, check=True,
        env={**tiny_run.environment(), "TF_XLA_FLAGS": "--tf_xla_cpu_global_jit"})
    return json.loads(done.stdout)


@pytest.mark.parametrize("precision, tolerance", [("float32", 1e-4), ("bfloat16", 0.05)])
def test_compiled_and_not_are_the_same_child(precision, tolerance, compiled):
    """With dropout: its mask is drawn outside of what is compiled, as initial weights are."""
    plain, compiled = xla_child.describe(precision, xla=False), compiled[precision]
    assert compiled["compiled"] and not plain["compiled"]
    for expected, found in zip(plain["logits"], compiled["logits"], strict=True):
        assert_close(found, expected, tolerance)
    assert compiled["moved"] == plain["moved"]
    for moved, ops in zip(compiled["moved"], ((0, 3), (4, 1))):
        in_branches = {name.split("/")[2] for name in moved if "/branch_" in name}
        assert in_branches == {f"branch_{op}" for op in ops}


def test_off_unless_asked_for():
    assert not session_config().graph_options.optimizer_options.global_jit_level
    assert session_config(xla=True).graph_options.optimizer_options.global_jit_level > 0


@pytest.mark.parametrize("given", ["", "--tf_xla_min_cluster_size=8"])
def test_main_lets_the_cpu_compile(given, monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", given)
    status = main.main(["--xla", "--data_path=/no/such", "--output_dir=o",
                        "--controller_search_whole_channels"])
    assert status == main.USAGE_ERROR  # there is no such data
    assert os.environ["TF_XLA_FLAGS"].split() == [
        *given.split(), "--tf_xla_cpu_global_jit"]


def test_not_in_a_cluster(caplog):
    status = main.main([
        "--xla", "--data_path=/no/such", "--output_dir=o", "--controller_search_whole_channels",
        "--job_name=worker", "--task_index=0", "--ps_hosts=a:1", "--worker_hosts=b:1"])
    assert status == main.USAGE_ERROR
    assert "--xla" in caplog.text and "cluster" in caplog.text
