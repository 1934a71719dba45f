"""Which architecture of a finished search to keep: many are sampled, scored alike and ranked."""

import pathlib
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from AEROBI.config import ConfigError, DataConfig, RunConfig
from AEROBI.cost import Cost
from AEROBI.records.ranking import MEASURES, Candidate, Ranking, in_order, numbered
from AEROBI.search_space.spaces import AnyArchitecture, space_of
from AEROBI.seeds import seed_sequence
from AEROBI.selection.finished_search import open_search


class Draws(NamedTuple):
    """Which architectures of a search are looked at."""

    samples: int
    policy: str  # "controller", or "random" for uniform draws
    by_chance: int = 0  # uniformly random ones besides those of the controller


class Budget(NamedTuple):
    """What a final child may cost; None: anything."""

    parameters: int | None = None
    multiply_adds: int | None = None

    def fits(self, cost: Cost) -> bool:
        """Whether neither of the two is exceeded."""
        return all(limit is None or spent <= limit for spent, limit in zip(cost, self))


ANYTHING = Budget()


def select(search: pathlib.Path, draws: Draws, bn: str,
           data: DataConfig | None = None, budget: Budget = ANYTHING) -> Ranking:
    """Samples, merges duplicates, scores on the whole validation split, ranks.

    Args:
        search: its run directory, or the prefix of a checkpoint of the published code.
        draws: how many, by whom; the controller's most likely one comes to its own.
        bn: BN statistics to score with, see `open_search`.
        data: where the images are; None: where the run had them.
        budget: what does not fit is left out before anything is scored.

    Raises:
        ConfigError: not a search, or nothing fits the budget.
        CheckpointError: no checkpoint that can be read.
        DataError: its data set cannot be read.
    """
    with open_search(search, bn, data) as shared:
        likely = shared.most_likely() if draws.policy == "controller" else None
        if likely is None:
            counts = Counter(shared.draw_random(draws.samples))
        else:
            counts = Counter([*shared.draw(draws.samples, "selection"), *shared.tried()])
            for architecture in (likely, *shared.draw_random(draws.by_chance)):
                counts.setdefault(architecture, 0)
        costs = _within(budget, counts, shared.run.config)
        found = []
        for architecture, cost in tqdm(costs.items(), "scoring", leave=False, disable=None):
            scored = shared.score(architecture)
            found.append(Candidate(
                0, str(architecture), scored.exact_match,
                _or_none(scored.mean_average_precision), *cost, counts[architecture],
                architecture == likely))
        images, config = shared.images, shared.run.config
        child = config.child
    return in_order(Ranking(child.num_layers, "" if config.alone_epochs else bn, draws.policy,
                            images, tuple(found), num_cells=space_of(child).num_cells),
                    MEASURES[0])


def draw_without_weights(config: RunConfig, samples: int, count: int, images: int,
                         budget: Budget) -> Ranking:
    """Uniformly random architectures, in the order they were drawn: random search begins so.

    Args:
        config: layers, operations, size and seed, of a whole training.
        samples: how many are drawn, at least `count`.
        count: how many of those that fit are kept, the first of them.
        images: of the validation split.
        budget: what does not fit is drawn in vain.

    Raises:
        ConfigError: nothing that was drawn fits the budget.
    """
    child = config.child
    rng = np.random.default_rng(seed_sequence(config.seed, "random search"))
    space = space_of(config.controller)
    counts = Counter(space.random(rng) for _ in range(max(samples, count)))
    costs = list(_within(budget, counts, config).items())[:count]
    found = [Candidate(0, str(architecture), None, None, *cost, counts[architecture], False)
             for architecture, cost in costs]
    return Ranking(child.num_layers, "", "random", images, numbered(found),
                   num_cells=space.num_cells)


def _within(budget: Budget, architectures: Iterable[AnyArchitecture], config: RunConfig
            ) -> dict[AnyArchitecture, Cost]:
    """The architectures whose final child, as the final preset builds it, fits; with its cost."""
    space = space_of(config.child)
    costs = {architecture: space.cost(architecture, config.child, config.data.img_size)
             for architecture in architectures}
    fitting = {architecture: cost for architecture, cost in costs.items() if budget.fits(cost)}
    if fitting:
        return fitting
    smallest = Cost(*(min(cost[at] for cost in costs.values()) for at in range(2)))
    flags = " ".join(f"--max_{name}={limit}" for name, limit in budget._asdict().items()
                     if limit is not None)
    raise ConfigError(
        f"{flags}: none of the {len(costs)} architectures drawn fits; the smallest have "
        f"{smallest.parameters:,} parameters and {smallest.multiply_adds:,} multiply-adds. Allow "
        "more, draw more (--samples), or search with fewer --child_out_filters")


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
