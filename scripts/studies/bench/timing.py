"""Competitors timed in turn, in one process, so that what the machine does meets all alike."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

from AEROBI.architecture import Architecture

PAUSE = 0.005  # seconds: the threads of the one before have stopped spinning
FEWEST_ROUNDS = 3


@dataclass
class Times:
    """Milliseconds a step, for each architecture in the order of the rounds."""

    values: dict[Architecture, list[float]] = field(default_factory=dict)

    @property
    def median(self) -> float:
        """The mean over architectures of the median of each."""
        return statistics.fmean(map(statistics.median, self.values.values()))

    @property
    def low(self) -> float:
        """The fastest step."""
        return min(map(min, self.values.values()))

    @property
    def high(self) -> float:
        """The slowest step."""
        return max(map(max, self.values.values()))

    @property
    def count(self) -> int:
        """Steps in all."""
        return sum(map(len, self.values.values()))

    def ratio(self, other: "Times",
              of: Callable[[list[float]], float] = statistics.median) -> float:
        """Of the medians (or `of`), summed over the architectures that both have."""
        both = self.values.keys() & other.values.keys()
        ours, theirs = (sum(of(times.values[key]) for key in both) for times in (self, other))
        return ours / theirs


@dataclass(frozen=True)
class Competitor:
    """Something that makes a step under an architecture."""

    name: str
    step: Callable[[Architecture], object]
    architectures: Sequence[Architecture]


@dataclass(frozen=True)
class Effort:
    """How long to measure."""

    rounds: int = 8  # over all architectures
    seconds: float = 40.0  # after which no new round begins, once there are a few
    warm_up: int = 2  # rounds before that


def interleave(competitors: Sequence[Competitor], effort: Effort,
               title: str) -> dict[str, Times]:
    """Rounds over the architectures; for each, one step of every competitor in turn."""
    architectures = dict.fromkeys(a for competitor in competitors for a in competitor.architectures)
    times = {competitor.name: Times() for competitor in competitors}
    start = time.monotonic()
    rounds = range(-effort.warm_up, effort.rounds)
    for i in tqdm(rounds, title, leave=False, disable=None):
        if i == 0:
            start = time.monotonic()
        if i >= FEWEST_ROUNDS and time.monotonic() - start > effort.seconds:
            break
        for architecture in architectures:
            for competitor in competitors:
                if architecture in competitor.architectures:
                    spent = milliseconds(lambda c=competitor, a=architecture: c.step(a))
                    if i >= 0:
                        times[competitor.name].values.setdefault(architecture, []).append(spent)
    return times


def milliseconds(work: Callable[[], object]) -> float:
    """Of one call, after a pause."""
    time.sleep(PAUSE)
    start = time.perf_counter()
    work()
    return 1e3 * (time.perf_counter() - start)
