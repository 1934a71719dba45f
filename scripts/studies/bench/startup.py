"""From the command to the first step: a new run of the search preset, and a restarted one."""

import os
import pathlib
import signal
import subprocess
import sys
import time

from AEROBI.sample_data.generate import SampleSizes, generate
from bench.own_process import WorkerError, environment
from bench.report import Row

TARGET = 10  # seconds
PRESET = (
    "--batch_size=16", "--log_every=1", "--child_num_layers=7", "--child_num_branches=6",
    "--child_keep_prob=0.5", "--child_l2_reg=0.0005", "--child_lr_cosine", "--child_lr_max=0.01",
    "--child_lr_min=0.00001", "--child_lr_T_0=10", "--child_lr_T_mul=2",
    "--controller_search_whole_channels", "--controller_sync_replicas",
    "--controller_num_aggregate=20", "--controller_train_steps=40",
    "--controller_tanh_constant=1.5", "--controller_entropy_weight=0.0001",
    "--controller_skip_target=0.4", "--controller_skip_weight=0.8")


def measure(filters: int, size: int, folder: pathlib.Path) -> list[Row]:
    """Both, with everything a run does: graph, session, weights or checkpoint, first batch."""
    generate(folder / "data", SampleSizes(train=64, val=16, test=16), seed=0)
    flags = [*PRESET, f"--child_out_filters={filters}", f"--img_size={size}",
             f"--data_path={folder / 'data'}", f"--output_dir={folder / 'run'}",
             f"--cache_dir={folder / 'cache'}"]
    where = f"search preset, 7 layers, {filters} filters, {size} px"
    rows = []
    for name in ("new run", "restarted run"):
        whole, graph = _first_step(flags)
        rows += [Row("startup", where, f"{name}: graph and first step", graph, "s",
                     target=f"<= {TARGET}"),
                 Row("startup", where, f"{name}: whole process to the first step", whole, "s")]
    return rows


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
