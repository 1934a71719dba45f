"""Resident memory of training steps; as a module, one measurement in a process of its own.

`python -m bench.memory routed 64 224 3`: the kind of child, filters, pixels, steps.
"""

import json
import os
import pathlib
import resource
import sys

from bench.own_process import run_module
from bench.report import Row
from bench.setting import Setting, random_batch

KINDS = ("routed", "all_six")
TARGET = 0.5
SETTLED = 100  # steps after which memory must not grow
GROWTH_TARGET = 1.02
PEAK_STEPS = 3  # architectures of a peak
BASE = 750  # MB, of a process with a tiny network


def resident_mb(peak: bool) -> float:
    """Megabytes resident now, or at most so far."""
    key = "VmHWM:" if peak else "VmRSS:"
    try:
        text = pathlib.Path("/proc/self/status").read_text()
    except OSError:  # not Linux: only the peak is known
        scale = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith(key)) / 1024


def available_mb() -> float:
    """Megabytes that can be used without swapping; no limit where that is not known."""
    try:
        text = pathlib.Path("/proc/meminfo").read_text()
    except OSError:
        return float("inf")
    return next(int(line.split()[1]) for line in text.splitlines()
                if line.startswith("MemAvailable:")) / 1024


def measure_peak(filters: int, size: int) -> list[Row]:
    """Peak of the search child against that of all six operations, at a size that fits."""
    while size > 16 and _needed_mb(filters, size) > available_mb():
        size //= 2
    setting = Setting(filters, size)
    ours, other = (_run(kind, setting, PEAK_STEPS)["peak_mb"] for kind in KINDS)
    where = f"peak of {PEAK_STEPS} training steps, {setting}"
    return [Row("memory", where, "AEROBI", ours, "MB"),
            Row("memory", where, "all six operations", other, "MB"),
            Row("memory", where, "ratio", ours / other, "ratio", target=f"<= {TARGET}")]


def _needed_mb(filters: int, size: int) -> float:
    """A guess of what all six operations need, from a patch of a quarter of the side."""
    small = _run("all_six", Setting(filters, max(8, size // 4)), 1)["peak_mb"]
    return BASE + 16 * max(0.0, small - BASE)


def measure_growth(filters: int, size: int, steps: int) -> list[Row]:
    """Whether memory grows after the first 100 steps."""
    setting = Setting(filters, size)
    result = _run("routed", setting, steps)
    where = f"{steps} training steps, {setting}"
    first, last = result["settled_mb"], result["end_mb"]
    return [Row("memory", where, f"resident after {min(SETTLED, steps)}", first, "MB"),
            Row("memory", where, "resident at the end", last, "MB"),
            Row("memory", where, "growth", last / first, "ratio", target=f"<= {GROWTH_TARGET}")]


def _run(kind: str, setting: Setting, steps: int) -> dict[str, float]:
    return run_module("bench.memory", kind, setting.filters, setting.size, steps)


def main(kind: str, filters: int, size: int, steps: int) -> None:
    """Trains and writes the figures, one JSON object."""
    setting = Setting(filters, size, architectures=steps)
    batch = random_batch(setting)
    if kind == "routed":
        from bench.ours import Ours
        step = Ours(setting, check=False).train
    else:
        from bench.all_six import all_six_step
        step = all_six_step(setting)
    settled = 0.0
    for i, architecture in enumerate(setting.chosen()):
        step(batch, architecture)
        if i < SETTLED:
            settled = resident_mb(peak=False)
    sys.stdout.write(json.dumps({
        "peak_mb": resident_mb(peak=True), "settled_mb": settled,
        "end_mb": resident_mb(peak=False), "process": os.getpid()}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
