"""How a training step grows with layers, filters, patch and batch, against its arithmetic.

Exponents are slopes of straight lines through (log size, log time) and (log size, log
arithmetic), least squares. A step may grow more slowly than its arithmetic (what costs the same
at every size weighs more in a small step), but not faster.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from AEROBI.architecture import Architecture
from bench.ours import Ours
from bench.path import arithmetic, kernels
from bench.report import Row, time_row
from bench.setting import SKIP_PROBABILITY, Setting, random_batch
from bench.timing import Competitor, Effort, interleave

AXES = {"layers": (4, 8, 12, 16, 24), "filters": (8, 16, 32, 64), "size": (32, 64, 96, 128),
        "batch": (4, 8, 16, 32)}
QUICK_AXES = {"layers": (4, 8), "filters": (8, 16), "size": (16, 32), "batch": (4, 8)}
SLACK = 0.1  # of the exponent: what noise may do to it


def measure(base: Setting, axes: dict[str, Sequence[int]], effort: Effort) -> list[Row]:
    """The rows of every axis, its exponents last."""
    rows = []
    for axis, values in axes.items():
        settings = [dataclasses.replace(base, **{axis: value}) for value in values]
        medians = []
        for setting in settings:
            row = _one(axis, setting, effort)
            medians.append(row.value)
            rows.append(row)
        sums = [setting.batch * arithmetic(kernels(
            regular(setting.layers), setting.filters, setting.size)) for setting in settings]
        ours, theirs = exponent(values, medians), exponent(values, sums)
        rows.append(Row("growth", f"with {axis}", "exponent of the time", ours, "",
                        target=f"<= {theirs + SLACK:.2f}",
                        note=f"exponent of the arithmetic {theirs:.2f}, and {SLACK} for noise"))
    return rows


def _one(axis: str, setting: Setting, effort: Effort) -> Row:
    ours, batch = Ours(setting, check=False), random_batch(setting)
    architecture = regular(setting.layers)
    times = interleave([Competitor("", lambda a: ours.train(batch, a), [architecture])],
                       effort, str(setting))[""]
    ours.close()
    return time_row("growth", f"with {axis}", str(setting), times)


def regular(layers: int) -> Architecture:
    """All operations in turn, so that sizes can be compared; random skips."""
    rng = np.random.default_rng(0)
    skips = Architecture.random(layers, rng, skip_probability=SKIP_PROBABILITY).skips
    return Architecture(tuple(i % 6 for i in range(layers)), skips)


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Slope of log(value) over log(size)."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
