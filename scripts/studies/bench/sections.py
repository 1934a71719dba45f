"""The sections of the benchmark: which settings each measures."""

import argparse
import pathlib
import tempfile
from collections.abc import Callable

from bench import children, controller, growth, memory, startup
from bench.own_process import rows_of
from bench.report import Row
from bench.setting import Setting
from bench.timing import Effort

LARGE = 128  # pixels; from here on fewer architectures and rounds


def settings_of(options: argparse.Namespace, final: bool = False) -> list[Setting]:
    """All combinations of filters and patch sizes; the architectures are the same in all."""
    sizes = [size for size in options.sizes if size < LARGE] if final else options.sizes
    return [Setting(filters, size, options.layers, final=final,
                    architectures=2 if size >= LARGE else 4)
            for filters in options.filters for size in sizes]


def children_options(options: argparse.Namespace, setting: Setting) -> children.Options:
    """Fewer rounds where steps take seconds, more where there is one architecture."""
    effort = Effort(options.rounds, options.seconds)
    if setting.size >= LARGE:
        effort = Effort(options.rounds, options.seconds, warm_up=1)
    elif setting.final:
        effort = Effort(3 * options.rounds, options.seconds)
    return children.Options(effort, not options.no_torch, options.compiled)


def middle(options: argparse.Namespace, filters: int) -> Setting:
    """At the middle of the sizes."""
    return Setting(filters, sorted(options.sizes)[len(options.sizes) // 2], options.layers)


def memory_rows(options: argparse.Namespace) -> list[Row]:
    """Peak at the largest setting, growth at the smallest."""
    return [*memory.measure_peak(max(options.filters), max(options.sizes)),
            *memory.measure_growth(min(options.filters), min(options.sizes),
                                   options.memory_steps)]


def startup_rows(options: argparse.Namespace) -> list[Row]:
    """A search at the largest setting, short commands at the smallest."""
    with tempfile.TemporaryDirectory() as folder:
        return startup.measure(startup.Size(max(options.filters), max(options.sizes)),
                               startup.Size(min(options.filters), min(options.sizes)),
                               pathlib.Path(folder))


def data_rows(options: argparse.Namespace) -> list[Row]:
    """Fewer images in a quick run."""
    counts = (20, 1000) if options.quick else (120, 10000)
    with tempfile.TemporaryDirectory() as folder:
        return rows_of("bench.data", folder, *counts)


def children_rows(options: argparse.Namespace, final: bool) -> list[Row]:
    """Search or final child at every setting."""
    return [row for setting in settings_of(options, final)
            for row in children.measure(setting, children_options(options, setting))]


def bfloat16_rows(options: argparse.Namespace) -> list[Row]:
    """The search child with the most filters, at the middle size."""
    setting = middle(options, max(options.filters))
    return children.measure_bfloat16(setting, children_options(options, setting))


def all_six_rows(options: argparse.Namespace) -> list[Row]:
    """The fewest filters, at the middle size."""
    setting = middle(options, min(options.filters))
    return children.measure_all_six(setting, children_options(options, setting))


def controller_rows(options: argparse.Namespace) -> list[Row]:
    """At the middle size, where an evaluation is cheap and the controller weighs most."""
    setting = middle(options, min(options.filters))
    return controller.measure(setting, 4 if options.quick else 40)


def growth_rows(options: argparse.Namespace) -> list[Row]:
    """Around the smallest setting."""
    base = Setting(min(options.filters), min(options.sizes), options.layers)
    axes = growth.QUICK_AXES if options.quick else growth.AXES
    return growth.measure(base, axes, Effort(max(3, options.rounds), options.seconds / 4))


RUN: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
    "memory": memory_rows, "startup": startup_rows, "data": data_rows,
    "search": lambda options: children_rows(options, final=False),
    "final": lambda options: children_rows(options, final=True),
    "bfloat16": bfloat16_rows, "all_six": all_six_rows, "controller": controller_rows,
    "growth": growth_rows}
