"""Which architecture of a finished search to keep: many are sampled, scored alike and ranked."""

import pathlib
from collections import Counter

import numpy as np
from tqdm import tqdm

from AEROBI.architecture import Architecture
from AEROBI.config import DataConfig
from AEROBI.cost import final_child_cost
from AEROBI.flags.from_run_dir import StoredRun
from AEROBI.records.ranking import Candidate, Ranking

POLICIES = ("controller", "random")


def select(search: pathlib.Path, samples: int, bn: str, policy: str,
           data: DataConfig | None = None) -> Ranking:
    """Samples, merges duplicates, scores on the whole validation split, ranks.

    Args:
        search: its run directory, or the prefix of a checkpoint of the published code.
        samples: how many to draw; the controller's most likely one comes to them.
        bn: BN statistics to score with, see `open_shared_weights`.
        policy: "controller", or "random" for uniform draws.
        data: where the images are; None: where the run had them.

    Raises:
        ConfigError: not a search.
        CheckpointError: no checkpoint that can be read.
        DataError: its data set cannot be read.
    """
    from AEROBI.selection.finished_search import (
        open_shared_weights,  # not before it is needed: TensorFlow
    )

    with open_shared_weights(search, bn, data) as shared:
        likely = shared.most_likely() if policy == "controller" else None
        drawn = (shared.draw(samples, "selection") if policy == "controller"
                 else shared.draw_random(samples))
        counts = Counter(drawn)
        if likely is not None:
            counts.setdefault(likely, 0)
        found = []
        for architecture, count in tqdm(counts.items(), "scoring", leave=False, disable=None):
            scored = shared.score(architecture)
            found.append(_candidate(architecture, shared.run, Candidate(
                0, str(architecture), scored.exact_match, _or_none(
                    scored.mean_average_precision), 0, 0, count, architecture == likely)))
        images = scored.images
    return Ranking(shared.layers, bn, policy, images, _in_order(found))


def _candidate(architecture: Architecture, run: StoredRun, scored: Candidate) -> Candidate:
    """With the costs of its final child, as the final preset would build it."""
    child = run.config.child
    cost = final_child_cost(architecture, child.out_filters, run.config.data.img_size,
                            len(run.class_names), child.dense_separable)
    return Candidate(**{**vars(scored), **cost._asdict()})


def _in_order(found: list[Candidate]) -> tuple[Candidate, ...]:
    """Best first: exact match, then mean AP, then the smaller network."""
    best_first = sorted(found, key=lambda one: (
        -one.exact_match, -(one.mean_average_precision or 0.0), one.parameters))
    return tuple(Candidate(**{**vars(one), "rank": rank})
                 for rank, one in enumerate(best_first, start=1))


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else value
