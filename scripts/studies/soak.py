#!/usr/bin/env python3
"""A long search, watched from outside: memory, open files and threads, and whether they stay flat.

A real search on a tiny data set, with controller phases, evaluations, pictures, events and a
checkpoint every other second. Every so many steps a line: megabytes in memory, open files,
threads. The first quarter warms up; after it open files and threads must not grow, and memory by
no more than --allowed. The exit status is 1 if they do. Linux only (/proc).
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "src"
BATCH, STEPS_AN_EPOCH = 8, 50
POLL_SECS = 0.02
SEARCH = (
    "--recipe=shared", "--img_size=16", f"--batch_size={BATCH}", "--log_every=10",
    "--child_num_layers=3",
    "--child_out_filters=4", "--child_num_branches=6", "--child_lr_cosine", "--child_lr_max=0.01",
    "--child_lr_min=0.0001", "--child_lr_T_0=2", "--child_lr_T_mul=2", "--checkpoint_secs=2",
    "--controller_num_aggregate=3", "--controller_train_steps=4", "--controller_train_every=1",
    "--controller_warmup_epochs=0")


class Sample(NamedTuple):
    """Of a process at a step."""

    step: int
    megabytes: float  # in memory
    files: int  # open
    threads: int


def look(pid: int, step: int) -> Sample:
    """The process as it is; OSError if it is gone."""
    process = pathlib.Path("/proc", str(pid))
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    return Sample(step, int(status["VmRSS"].split()[0]) / 1024,
                  len(os.listdir(process / "fd")), int(status["Threads"]))


def start(folder: pathlib.Path, steps: int) -> subprocess.Popen:
    """Makes a data set and starts a search of so many steps, in whole epochs."""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-m", "AEROBI.cli"]
    each = min(steps, STEPS_AN_EPOCH)
    subprocess.run(
        [*command, "sample-data", f"--output={folder / 'data'}", f"--train={BATCH * each}",
         "--val=20", "--test=12"], env=environment, check=True, stdout=subprocess.DEVNULL)
    with (folder / "console").open("wb") as console:
        return subprocess.Popen(
            [*command, "search", *SEARCH, f"--num_epochs={-(-steps // each)}",
             f"--data_path={folder / 'data'}", f"--cache_dir={folder / 'cache'}",
             f"--output_dir={folder / 'run'}"],
            env=environment, stdout=console, stderr=subprocess.STDOUT)


def watch(process: subprocess.Popen, log: pathlib.Path, interval: int) -> list[Sample]:
    """A sample, and its line, every `interval` steps, to the end."""
    samples: list[Sample] = []
    sys.stdout.write("  step   memory MB  open files  threads\n")
    while process.poll() is None:
        steps = re.findall(r"ch_step=(\d+)", log.read_text()) if log.exists() else []
        step = int(steps[-1]) if steps else 0
        if step and step >= (samples[-1].step + interval if samples else 1):
            try:
                samples.append(look(process.pid, step))
            except (OSError, KeyError):  # it has just ended
                break
            sample = samples[-1]
            sys.stdout.write(f"{sample.step:6d}  {sample.megabytes:10.1f}  {sample.files:10d}  "
                             f"{sample.threads:7d}\n")
            sys.stdout.flush()
        time.sleep(POLL_SECS)
    return samples


def growth(samples: list[Sample]) -> Sample:
    """From the second quarter of the samples to the last: what grew, and over how many steps.

    Of each quarter the median counts: a checkpoint that is being written opens files.
    """
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter:2 * quarter] or samples[:1], samples[-quarter:]

    def median(part: list[Sample], field: int) -> float:
        return sorted(sample[field] for sample in part)[len(part) // 2]

    return Sample(*(median(late, field) - median(early, field) for field in range(4)))


def main() -> int:
    """Runs, watches, judges; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=2000, help="of the child (default: 2000)")
    parser.add_argument("--interval", type=int, default=100,
                        help="steps from one line to the next (default: 100)")
    parser.add_argument("--allowed", type=float, default=20.0, metavar="MB",
                        help="growth of the memory that is flat (default: 20)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        process = start(folder, options.steps)
        try:
            samples = watch(process, folder / "run" / "stdout", options.interval)
        finally:
            process.kill()
        if process.wait() or not samples:
            sys.stderr.write((folder / "console").read_text("utf-8", "replace")[-2000:])
            return 2
    grown = growth(samples)
    flat = grown.megabytes <= options.allowed and grown.files <= 0 and grown.threads <= 0
    sys.stdout.write(f"growth over {grown.step} steps: {grown.megabytes:+.1f} MB, "
                     f"{grown.files:+d} open files, {grown.threads:+d} threads: "
                     f"{'flat' if flat else 'NOT FLAT'}\n")
    return 0 if flat else 1


if __name__ == "__main__":
    sys.exit(main())
