"""Images a second of one process, and of clusters of 1 and 2 workers on loopback, measured."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from typing import IO

from AEROBI.architecture import SHIPPED
from AEROBI.cluster.subprocesses import child_environment, free_addresses
from AEROBI.config import ConfigError
from AEROBI.sample_data.generate import SampleSizes, generate

BATCH, STEPS, WARM_UP = 16, 40, 8  # images a worker; measured steps; steps before
IMAGES = 2 * BATCH * (STEPS + WARM_UP)
FLAGS = ["--img_size=64", "--child_num_layers=7", "--child_out_filters=16",
         "--child_num_branches=6", "--num_epochs=1", "--log_every=1", f"--batch_size={BATCH}",
         "--controller_search_whole_channels", "--nocontroller_training",
         "--cluster_timeout_secs=300"]
KINDS = {"search child": [], "final child ENAS-2": [f"--child_fixed_arc={SHIPPED}"]}
_STEP = re.compile(r"\bch_step=(\d+)")


def measure() -> str:
    """A table; takes a few minutes."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        generate(root / "data", SampleSizes(IMAGES, 20, 20), seed=0)
        words = [*FLAGS, f"--data_path={root / 'data'}", f"--cache_dir={root / 'cache'}"]
        lines = [f"16 filters, 64 px, {BATCH} images a worker, {os.cpu_count()} cores for all "
                 f"processes; mean of {STEPS} steps",
                 "                      one process    1 worker (sync)   2 workers (sync)   "
                 "2 workers (async)"]
        for kind, flags in KINDS.items():
            rates = []
            for i, (workers, mode) in enumerate((
                    (0, []), (1, ["--child_sync_replicas"]), (2, ["--child_sync_replicas"]),
                    (2, []))):
                output = f"--output_dir={root / f'{kind[:5]}_{i}'}"
                rates.append(_rate([*words, *flags, *mode, output], workers))
            lines.append(f"{kind:20s}" + "".join(f"{rate:11.1f} img/s" for rate in rates))
    return "\n".join(lines) + "\n"


def _rate(words: list[str], workers: int) -> float:
    """Images a second of all workers together; 0: one process."""
    command = [sys.executable, "-m", "AEROBI.main", *words]
    if not workers:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True,
                              env=child_environment()) as process:
            return _timed(process, BATCH)
    hosts = free_addresses(1 + workers)
    cluster = {"ps": hosts[:1], "worker": hosts[1:]}
    processes = []
    try:
        for job, index in [("ps", 0), *(("worker", i) for i in range(workers))]:
            task = {"cluster": cluster, "task": {"type": job, "index": index}}
            is_chief = (job, index) == ("worker", 0)
            processes.append(subprocess.Popen(
                command, text=True, env={**child_environment(), "TF_CONFIG": json.dumps(task)},
                stdout=subprocess.PIPE if is_chief else subprocess.DEVNULL))
        return _timed(processes[1], BATCH * workers)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _timed(process: subprocess.Popen, images: int) -> float:
    """Of the steps after the first ones, from the lines of the log; ends the process."""
    first = _time_of_step(process.stdout, WARM_UP)
    last = _time_of_step(process.stdout, WARM_UP + STEPS)
    process.kill()
    return STEPS * images / (last - first)


def _time_of_step(output: IO[str], step: int) -> float:
    lines = []
    for line in output:
        lines.append(line)
        found = _STEP.search(line)
        if found and int(found[1]) == step:
            return time.monotonic()
    raise ConfigError("the measured run ended early: " + "".join(lines[-1:]).strip())
