"""A run so small that a test can afford it, as real processes."""

import os
import pathlib
import re
import time

import numpy as np
import tensorflow.compat.v1 as tf
from warm_process import WarmProcess

from AEROBI.sample_data.generate import SampleSizes, generate

SIZES = SampleSizes(train=40, val=20, test=12)
LAYERS = 3
SEARCH = {
    "img_size": 16, "batch_size": 8, "num_epochs": 3, "log_every": 1, "seed": 7,
    "child_num_layers": LAYERS, "child_out_filters": 4, "child_num_branches": 6,
    "child_lr_cosine": True, "child_lr_max": 0.01, "child_lr_min": 1e-4, "child_lr_T_0": 2,
    "child_lr_T_mul": 2, "child_cutout_size": 4, "controller_search_whole_channels": True,
    "controller_sync_replicas": True, "controller_num_aggregate": 3, "controller_train_steps": 4,
    "controller_train_every": 1, "controller_tanh_constant": 1.5,
    "controller_entropy_weight": 1e-4, "controller_skip_weight": 0.8}
FINAL = {**SEARCH, "child_fixed_arc": "3 5 1 0 1 1", "nocontroller_training": True}
# Two layers, for what is about the loop and not about the network: a graph takes its time to build.
SHALLOW_SEARCH = {**SEARCH, "child_num_layers": 2}
SHALLOW_FINAL = {**FINAL, "child_num_layers": 2, "child_fixed_arc": "3 5 1"}

# Four trainings, each of an architecture alone, and two phases of the controller.
ALONE_SEARCH = {**SHALLOW_SEARCH, "num_epochs": 8, "child_alone_epochs": 2,
                "child_network": "final", "child_lr_per_step": True, "eval_every_epochs": 4,
                "controller_warmup_epochs": 4, "controller_train_every": 2,
                "controller_reward": "mean_ap", "controller_baseline": "others"}


def make_data(folder: pathlib.Path) -> pathlib.Path:
    """The embedded data set, very small."""
    generate(folder, SIZES, seed=3)
    return folder


def words(flags: dict) -> list[str]:
    """Command line words of flags."""
    return [f"--{name}" if value is True else f"--{name}={value}"
            for name, value in flags.items()]


def environment() -> dict[str, str]:
    """Of a child process: the package under test can be imported."""
    source = pathlib.Path(__file__).parents[2] / "src"
    return {**os.environ, "PYTHONPATH": str(source)}


def start(flags: dict) -> WarmProcess:
    """`python -m AEROBI.main` with these flags."""
    return WarmProcess("AEROBI.main", words(flags), environment())


def run(flags: dict, expect: int = 0) -> str:
    """Runs to the end; returns what it said."""
    process = start(flags)
    output, _ = process.communicate(timeout=180)
    assert process.returncode == expect, output
    return output


def aerobi(*words) -> str:
    """Runs `aerobi` with these words to its end; returns what it wrote to stdout."""
    process = WarmProcess("AEROBI.cli", list(words), environment(), merged=False)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return output


def wait_for(log: pathlib.Path, pattern: str, process: WarmProcess) -> None:
    """Until the log of a running process has a line that matches."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if log.exists() and re.search(pattern, log.read_text(), re.MULTILINE):
            return
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.002)
    raise AssertionError(f"no line {pattern!r} in {log}")


def weights(run_dir: pathlib.Path) -> dict[str, np.ndarray]:
    """All variables of the newest checkpoint."""
    reader = tf.train.load_checkpoint(str(run_dir / "checkpoints"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def log_without_minutes(run_dir: pathlib.Path) -> list[str]:
    """The lines from the first step on, without minutes and the line that says it was resumed."""
    lines = re.sub(r"mins=\S+ *", "", (run_dir / "stdout").read_text()).splitlines()
    lines = [line for line in lines if not line.startswith("Resuming after")]
    return lines[next(i for i, line in enumerate(lines) if line.startswith("epoch=")):]
