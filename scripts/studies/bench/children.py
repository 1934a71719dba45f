"""The two children against their PyTorch twins, the floor and the graph of all six operations."""

from bench.torch_first import torch

# isort: split
import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from AEROBI.architecture import Architecture
from AEROBI.config import ChildConfig
from bench.all_six import all_six_step
from bench.floor import Floor
from bench.ours import Ours
from bench.report import Row, processor_info, time_row
from bench.setting import Batch, Setting, random_batch
from bench.timing import Competitor, Effort, Times, interleave

if torch is not None:
    from bench.torch_train import FORMATS, PlainSide, TorchSide

TOLERANCE = 1e-3  # of logits, relative to the largest
# Our time over PyTorch's best, by (training, filters); the floor's target is for training at 64.
TARGETS = {(True, 16): 0.45, (True, 64): 0.55, (False, 16): 0.5, (False, 64): 0.65}
BFLOAT16_TARGETS = {True: 0.45, False: 0.35}
FLOOR_TARGET = 1.35
PLAIN = "PyTorch as published, {}"
OURS, FLOOR, ALL_SIX, OURS_16 = "AEROBI", "floor", "all six operations", "AEROBI bfloat16"


class Options(NamedTuple):
    """What to compare with, and how long."""

    effort: Effort
    with_torch: bool = True
    compiled: int = 1  # architectures that torch.compile is measured on


class MismatchError(RuntimeError):
    """The twin does not compute what the child does: its time means nothing."""


def measure(setting: Setting, options: Options) -> list[Row]:
    """Training step and evaluation of one setting."""
    ours, batch = Ours(setting), random_batch(setting)
    chosen = setting.chosen()
    sides = _torch_sides(ours, setting, batch, options) if options.with_torch and torch else {}
    floors, rows = {a: Floor(setting, a, backward=True) for a in floor_paths(setting)}, []
    try:
        for training in (True, False):
            competitors = [_competitor(OURS, ours, training, batch, chosen)]
            for name, side in sides.items():
                few = chosen[:options.compiled] if "compile" in name else chosen
                competitors.append(_competitor(name, side, training, batch, few))
            if training and floors:
                competitors.append(Competitor(FLOOR, lambda a: floors[a].run(), chosen))
            what = "training step" if training else "evaluation"
            times = interleave(competitors, options.effort, f"{setting}: {what}")
            rows += _rows(setting, what, times, training)
    finally:
        for runner in (ours, *floors.values()):
            runner.close()
    return rows


def floor_paths(setting: Setting) -> list[Architecture]:
    """The paths with a floor: of the search child. An evaluation has none: it is fused."""
    return [] if setting.final else setting.chosen()


def _competitor(name: str, side: object, training: bool, batch: Batch,
                architectures: Sequence[Architecture]) -> Competitor:
    step = side.train if training else side.evaluate
    return Competitor(name, lambda architecture: step(batch, architecture), architectures)


def _torch_sides(ours: Ours, setting: Setting, batch: Batch,
                 options: Options) -> dict[str, "TorchSide"]:
    """Eager in the faster memory format, and compiled. All checked."""
    values, chosen = ours.values(), setting.chosen()
    eager = {name: TorchSide(values, setting, name) for name in FORMATS}
    for side in eager.values():
        check(ours, side, batch, chosen)
        ours.reset()  # the check moved the moving averages
    trial = interleave(
        [_competitor(name, side, True, batch, chosen[:1]) for name, side in eager.items()],
        dataclasses.replace(options.effort, rounds=2), f"{setting}: memory format")
    best = min(trial, key=lambda name: trial[name].median)
    sides = {f"PyTorch eager, {best}": eager[best]}
    plain = PlainSide(values, setting, best)
    check(ours, plain, batch, chosen)
    ours.reset()
    sides[PLAIN.format(best)] = plain
    if options.compiled:
        compiled = TorchSide(values, setting, best, compiled=True)
        check(ours, compiled, batch, chosen[:options.compiled])
        sides[f"PyTorch compile, {best}"] = compiled
    return sides


def check(ours: Ours, side: "TorchSide", batch: Batch,
          architectures: Iterable[Architecture]) -> None:
    """Logits of training, then of evaluation with the statistics that training left.

    Raises:
        MismatchError: they differ by more than 1e-3 of the largest.
    """
    for architecture in architectures:
        pairs = {
            "training": (ours.training_logits(batch, architecture),
                         side.logits(batch, architecture, training=True)),
            "evaluation": (ours.evaluate(batch, architecture),
                           side.logits(batch, architecture, training=False))}
        for mode, (expected, actual) in pairs.items():
            off = np.abs(actual - expected).max() / np.abs(expected).max()
            if not off <= TOLERANCE:
                raise MismatchError(
                    f"{ours.setting}, architecture {architecture}: the twin's logits in {mode} "
                    f"are off by {off:.2g} of the largest")


def _rows(setting: Setting, what: str, times: dict[str, Times], training: bool) -> list[Row]:
    section, where = "final" if setting.final else "search", f"{what}, {setting}"
    rows = [time_row(section, where, name, timing) for name, timing in times.items()]
    ratios = {name: times[OURS].ratio(timing) for name, timing in times.items()
              if "PyTorch" in name}
    if ratios:
        worst = max(ratios, key=ratios.get)
        quick = times[OURS].ratio(times[worst], of=min)
        bound = None if setting.final else TARGETS.get((training, setting.filters))
        rows.append(Row(section, where, f"{OURS} / PyTorch's best", ratios[worst], "ratio",
                        target=f"<= {bound}" if bound else "",
                        note=f"best: {worst}; fastest steps {quick:.3f}"))
        rows += [Row(section, where, f"{OURS} / PyTorch as published", ratio, "ratio")
                 for name, ratio in ratios.items() if name.startswith(PLAIN[:20])]
    if FLOOR in times:
        target = f"<= {FLOOR_TARGET}" if training and setting.filters == 64 else ""
        rows.append(Row(section, where, f"{OURS} / floor", times[OURS].ratio(times[FLOOR]),
                        "ratio", target=target))
        if ratios:  # no graph of these kernels comes closer to PyTorch than this
            rows.append(Row(section, where, f"{FLOOR} / PyTorch's best",
                            times[FLOOR].ratio(times[worst]), "ratio"))
    return rows


def measure_all_six(setting: Setting, options: Options) -> list[Row]:
    """A training step of one path against the graph that computes all six operations."""
    ours, batch, chosen = Ours(setting, check=False), random_batch(setting), setting.chosen()
    other = all_six_step(setting)
    times = interleave([
        _competitor(OURS, ours, True, batch, chosen),
        Competitor(ALL_SIX, lambda architecture: other(batch, architecture), chosen)],
        options.effort, ALL_SIX)
    ours.close()
    where = f"training step, {setting}"
    return [*(time_row("all_six", where, name, timing) for name, timing in times.items()),
            Row("all_six", where, f"{OURS} / {ALL_SIX}",
                times[OURS].ratio(times[ALL_SIX]), "ratio")]


def measure_bfloat16(setting: Setting, options: Options) -> list[Row]:
    """bfloat16 against PyTorch's best of float32 and bfloat16 (autocast), where there is any."""
    reason = no_bfloat16()
    names = {True: "training step", False: "evaluation"}
    if reason or not (options.with_torch and torch):
        return [Row("bfloat16", f"{names[training]}, {setting}", f"{OURS_16} / PyTorch's best",
                    None, "ratio", target=f"<= {bound}",
                    note=f"not available here: {reason or 'PyTorch is not installed'}")
                for training, bound in BFLOAT16_TARGETS.items()]
    ours, batch = Ours(setting, precision="bfloat16", check=False), random_batch(setting)
    values, chosen, rows = ours.values(), setting.chosen(), []
    sides = {f"PyTorch {'bfloat16' if autocast else 'float32'}": TorchSide(
        values, setting, "channels_last", autocast=autocast) for autocast in (True, False)}
    for training, bound in BFLOAT16_TARGETS.items():
        times = interleave(
            [_competitor(name, side, training, batch, chosen)
             for name, side in {OURS_16: ours, **sides}.items()],
            options.effort, f"{setting}: bfloat16")
        where = f"{names[training]}, {setting}"
        rows += [time_row("bfloat16", where, name, timing) for name, timing in times.items()]
        ratio = max(times[OURS_16].ratio(times[name]) for name in sides)
        rows.append(Row("bfloat16", where, f"{OURS_16} / PyTorch's best", ratio, "ratio",
                        target=f"<= {bound}"))
    ours.close()
    return rows


def no_bfloat16() -> str:
    """Why bfloat16 cannot be measured; empty where it can."""
    fields = {field.name for field in dataclasses.fields(ChildConfig)}
    if "precision" not in fields:
        return "the project has no precision to choose"
    flags = processor_info().get("flags", "").split()
    if not {"avx512_bf16", "amx_bf16"} & set(flags):
        return "the processor has neither avx512_bf16 nor amx_bf16"
    return ""
