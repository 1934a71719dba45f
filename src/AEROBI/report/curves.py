"""From the records of a run to what its report draws: curves, shares, ranks."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from AEROBI.config import MICRO
from AEROBI.micro.cells import MicroArchitecture
from AEROBI.records.run_records import RunRecords, Sampled, column, number
from AEROBI.search_space.spaces import AnyArchitecture

MOST_POINTS = 150  # of a drawn line
MOST_COLUMNS = 60  # of a heat map
MEAN_AP = "Mean average precision"
WORDS = {"val": "validation", "test": "test"}


class Line(NamedTuple):
    """One line of a chart; where the band is, it is the middle half of the values."""

    name: str
    colour: str  # of report_svg.Palette
    x: np.ndarray
    y: np.ndarray
    band: tuple[np.ndarray, np.ndarray] | None = None
    dashed: bool = False


class Chart(NamedTuple):
    """One chart over epochs, or over steps where epochs are not known."""

    title: str
    x_label: str
    lines: tuple[Line, ...]


class Shares(NamedTuple):
    """How often something was chosen, over time."""

    epochs: np.ndarray  # int64 [columns], the last epoch of each column
    values: np.ndarray  # float64 [rows, columns], 0..1


class Ranked(NamedTuple):
    """An architecture and what its batches said of it."""

    architecture: AnyArchitecture
    exact_match: float  # mean over its images
    images: int  # of all its batches; 0 where the log does not say
    times: int
    last_epoch: int  # from 0

    @property
    def standard_error(self) -> float:
        """That of the exact match by the number of images alone; nan where it is not known.

        Of (hits + 1) / (images + 2), so that no hit at all does not pass for certainty.
        """
        if not self.images:
            return math.nan
        share = (self.exact_match * self.images + 1) / (self.images + 2)
        return math.sqrt(share * (1 - share) / self.images)


def thinned(x: np.ndarray, y: np.ndarray, most: int = MOST_POINTS) -> tuple[
        np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """The line in at most `most` points: means of neighbours, the band of their middle half.

    Values at the same place are one point. What is not finite is left out; the band is None where
    each point is one value.

    Args:
        x: float64 [n], ascending.
        y: float64 [n].
    """
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    starts = np.append(0, np.flatnonzero(np.diff(x)) + 1)
    starts = starts[::max(1, -(-len(starts) // most))][1:]  # groups of one size but the last
    groups = list(zip(np.split(x, starts), np.split(y, starts))) if len(x) else []
    if len(groups) == len(x):
        return x, y, None
    quartiles = np.array([np.quantile(values, (0.25, 0.75)) for _, values in groups])
    return (np.array([places.mean() for places, _ in groups]),
            np.array([values.mean() for _, values in groups]),
            (quartiles[:, 0], quartiles[:, 1]))


def curves(run: RunRecords) -> list[Chart]:
    """The charts of a run that have anything to show."""
    charts = [*_alone_charts(run), *_child_charts(run), *_evaluation_charts(run),
              *_controller_charts(run)]
    kept = [chart._replace(lines=tuple(line for line in chart.lines if len(line.y)))
            for chart in charts]
    return [chart for chart in kept if chart.lines]


def _line(name: str, colour: str, x: np.ndarray, y: np.ndarray, most: int = MOST_POINTS) -> Line:
    return Line(name, colour, *thinned(x, y, most))


def _alone_charts(run: RunRecords) -> list[Chart]:
    """How good the architectures were that the policy had trained, one after the other."""
    trained = run.trained_alone
    x = column(trained, "epoch") + 1
    return [Chart("Architectures, each trained alone", "epoch", (
        _line("exact match", "first", x, column(trained, "exact_match")),
        _line("mean average precision", "second", x, column(trained, "mean_ap"))))]


def _child_axis(run: RunRecords) -> tuple[str, np.ndarray]:
    """Label and places of the child's records."""
    steps, per_epoch = column(run.child, "step"), run.steps_per_epoch
    return ("epoch", steps / per_epoch) if per_epoch > 0 else ("step", steps)


def _child_charts(run: RunRecords) -> list[Chart]:
    label, x = _child_axis(run)
    return [Chart("Loss", label, (_line("training batches", "first", x,
                                        column(run.child, "loss"), 60),)),
            Chart("Learning rate", label, (_line("child", "first", x, column(run.child, "lr")),))]


def _evaluation_charts(run: RunRecords) -> list[Chart]:
    """Exact match, and the mean average precision where it is recorded."""
    label, x = _child_axis(run)
    hits = column(run.child, "correct") / column(run.child, "images")
    batches = _line("training", "muted", x, hits, 30)._replace(band=None)
    charts = []
    for title, name in (("Exact match", "exact_match"), (MEAN_AP, "mean_average_precision")):
        lines = tuple(
            _line(WORDS[split], colour, _evaluated_after(run, split),
                  column(run.of_split(split), name))
            for split, colour in (("val", "first"), ("test", "second")))
        if name == "exact_match" and label == "epoch":
            lines = (batches, *lines)
        charts.append(Chart(title, "epoch", lines))
    return charts


def _evaluated_after(run: RunRecords, split: str) -> np.ndarray:
    """float64 [evaluations]: the epochs before each; a log alone tells no steps, but numbers."""
    records = run.of_split(split)
    after = column(records, "step") / run.steps_per_epoch
    return np.where(np.isfinite(after), after, column(records, "epoch") + 1)


def _controller_charts(run: RunRecords) -> list[Chart]:
    steps = column(run.controller, "child_step") / run.steps_per_epoch
    known = bool(np.isfinite(steps).any())  # the published log does not say when a phase was
    label, x = ("epoch", steps) if known else (
        "controller step", column(run.controller, "step"))
    reward = column(run.controller, "reward")
    name = "reward"
    if not np.isfinite(reward).any():
        reward, name = column(run.controller, "exact_match"), "exact match of a sample"
    charts = [
        Chart("Reward and baseline", label, (
            _line(name, "first", x, reward, 40),
            _line("baseline", "second", x, column(run.controller, "baseline"), 40)
            ._replace(band=None))),
        Chart("Entropy of the controller", label, (
            _line("estimate of a sample", "first", x, column(run.controller, "entropy"), 60),))]
    of_cells = run.sampled and isinstance(run.sampled[0].architecture, MicroArchitecture)
    if of_cells or run.config.get("search_for") == MICRO:
        return charts  # cells have no skips
    return [*charts, _skip_chart(run, label, x)]


def _skip_chart(run: RunRecords, label: str, x: np.ndarray) -> Chart:
    rates, name = column(run.controller, "skip_rate"), "samples"
    if not np.isfinite(rates).any():
        label, name = "epoch", "printed architectures"
        x = np.array([sample.epoch + 1 for sample in run.sampled], float)
        rates = np.array([sample.architecture.skip_rate for sample in run.sampled], float)
    line = _line(name, "first", x, rates, 40)
    target = number(run.config.get("controller_skip_target"))
    wanted = run.config.get("controller_skip_weight") != 0  # a log of the published code has none
    if not len(line.x) or math.isnan(target) or not wanted:
        return Chart("Skip rate", label, (line,))
    ends = line.x[[0, -1]]
    return Chart("Skip rate", label, (line, Line("target", "muted", ends, np.full(2, target),
                                                 dashed=True)))


# --- choices over time -------------------------------------------------------------------------


def shares_over_epochs(epochs: Sequence[int], chosen: np.ndarray) -> Shares:
    """The mean of shares [samples, rows] per epoch, or per group of neighbouring epochs."""
    epochs = np.asarray(epochs)
    every = np.unique(epochs)
    groups = np.array_split(every, min(len(every), MOST_COLUMNS))
    return Shares(np.array([group[-1] for group in groups]),
                  np.stack([chosen[np.isin(epochs, group)].mean(0) for group in groups], axis=1))


def ranked(sampled: Sequence[Sampled]) -> list[Ranked]:
    """Different architectures, best first; among equals the one that was printed last."""
    found: dict[AnyArchitecture, list[Sampled]] = {}
    for sample in sampled:
        if not math.isnan(sample.exact_match):
            found.setdefault(sample.architecture, []).append(sample)
    results = []
    for architecture, times in found.items():
        images = [sample.images or 0 for sample in times]
        weights = images if all(images) else None
        results.append(Ranked(
            architecture,
            float(np.average([sample.exact_match for sample in times], weights=weights)),
            sum(images) if all(images) else 0, len(times), max(sample.epoch for sample in times)))
    return sorted(results, key=lambda entry: (-entry.exact_match, -entry.last_epoch))
