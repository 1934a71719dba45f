"""From the command to the first step of a search, new or restarted; and the short commands."""

import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time

from AEROBI.sample_data.generate import SampleSizes, generate
from bench.own_process import WorkerError, environment
from bench.report import Row

TARGET = 10  # seconds
GRAPH_TARGET = 2.5  # times `import tensorflow`, to the first step
REPEATS = 3  # of a short command; its time is their median
IMAGES = 200  # that are evaluated
ARC = "3 5 1 0 1 1 1 0 0 0 2 0 1 0 1 4 0 0 0 1 0 0 1 0 0 0 1 1"
PRESET = (
    "--batch_size=16", "--log_every=1", "--child_num_layers=7", "--child_num_branches=6",
    "--child_keep_prob=0.5", "--child_l2_reg=0.0005", "--child_lr_cosine", "--child_lr_max=0.01",
    "--child_lr_min=0.00001", "--child_lr_T_0=10", "--child_lr_T_mul=2",
    "--controller_search_whole_channels", "--controller_sync_replicas",
    "--controller_num_aggregate=20", "--controller_train_steps=40",
    "--controller_tanh_constant=1.5", "--controller_entropy_weight=0.0001",
    "--controller_skip_target=0.4", "--controller_skip_weight=0.8")


def measure(filters: int, size: int, folder: pathlib.Path) -> list[Row]:
    """Both, with everything a run does: graph, session, weights or checkpoint, first batch.

    Then what the short commands take, as ratios to a process that only imports TensorFlow.
    """
    generate(folder / "data", SampleSizes(train=64, val=16, test=IMAGES), seed=0)
    flags = [*PRESET, f"--child_out_filters={filters}", f"--img_size={size}",
             f"--data_path={folder / 'data'}", f"--output_dir={folder / 'run'}",
             f"--cache_dir={folder / 'cache'}"]
    where = f"search preset, 7 layers, {filters} filters, {size} px"
    rows, imported = [], _median(["-c", "import tensorflow"])
    for name in ("new run", "restarted run"):
        whole, graph = _first_step(flags)
        rows += [Row("startup", where, f"{name}: graph and first step", graph, "s",
                     target=f"<= {TARGET}"),
                 Row("startup", where, f"{name}: whole process to the first step", whole, "s"),
                 Row("startup", where, f"{name}: graph and first step / import tensorflow",
                     graph / imported, "", target=f"<= {GRAPH_TARGET}")]
    return [*rows, *_short_commands(flags, where, imported, folder)]


def _short_commands(flags: list[str], where: str, imported: float,
                    folder: pathlib.Path) -> list[Row]:
    """Whole processes over one that only imports TensorFlow."""
    final = [f"--output_dir={folder / 'final'}", f"--child_fixed_arc={ARC}", "--num_epochs=1"]
    _finished(["-m", "AEROBI.main", *flags, *final])
    photo = next((folder / "data" / "test").rglob("*.png"))
    model = folder / "model"
    aerobi = ["-m", "AEROBI.cli"]
    _finished([*aerobi, "export", str(folder / "final"), f"--output={model}"])
    rows = [Row("startup", where, "import tensorflow", imported, "s")]
    for name, target, words in (
            ("predict one photograph", 1.3, ["predict", folder / "final", photo]),
            ("predict one photograph, .tflite", None, ["predict", model / "model.tflite", photo]),
            (f"evaluate {IMAGES} images", 1.6, ["evaluate", folder / "final"]),
            ("select --samples 5", 2.5, ["select", folder / "run", "--samples", "5"])):
        took = _median([*aerobi, *map(str, words)])
        rows.append(Row("startup", where, f"{name} / import tensorflow", took / imported, "",
                        target=f"<= {target}" if target else ""))
    return rows


def _median(words: list[str]) -> float:
    """Seconds that a Python process with these words takes."""
    return statistics.median(_finished(words) for _ in range(REPEATS))


def _finished(words: list[str]) -> float:
    """Runs a Python process to its end; returns the seconds.

    Raises:
        WorkerError: it failed.
    """
    start = time.monotonic()
    done = subprocess.run([sys.executable, *words], text=True, capture_output=True, check=False,
                          env=environment())
    if done.returncode:
        raise WorkerError(f"{' '.join(words[:3])}: {(done.stdout + done.stderr).strip()[-300:]}")
    return time.monotonic() - start


def _first_step(flags: list[str]) -> tuple[float, float]:
    """Seconds to the first step's log line: since the start, and since the graph was begun.

    Then the run is ended by SIGTERM, at which it writes a checkpoint.

    Raises:
        WorkerError: it ended before the first step.
    """
    start = begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "AEROBI.main", *flags], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**environment(), "PYTHONUNBUFFERED": "1"})
    line = ""
    try:
        for line in process.stdout:
            if line.startswith("Building the graph"):
                begun = time.monotonic()
            if line.startswith("epoch="):
                now = time.monotonic()
                return now - start, now - begun
    finally:
        _end(process)
    raise WorkerError(f"the search ended before its first step: {line.strip()}")


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        os.kill(process.pid, signal.SIGTERM)
    process.communicate()
