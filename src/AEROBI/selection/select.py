"""Which architecture of a finished search to keep: many are sampled, scored alike and ranked."""

import argparse
import logging
import pathlib
import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from AEROBI.architecture import Architecture
from AEROBI.config import ConfigError, DataConfig
from AEROBI.cost import final_child_cost
from AEROBI.data_utils import DataError
from AEROBI.flags.from_run_dir import StoredRun
from AEROBI.records import ranking
from AEROBI.records.ranking import Candidate, Ranking

POLICIES = ("controller", "random")
SHOWN = 10  # lines of the table
USAGE_ERROR = 2
EXAMPLE = "example: aerobi select outputs && cat outputs/architectures.json"


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


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    from AEROBI.run.checkpoints import CheckpointError

    folder = options.search if options.search.is_dir() else options.search.parent
    output = options.output or folder / ranking.FILE
    try:
        if not output.parent.is_dir():
            raise ConfigError(f"{output.parent}: no such folder; name the --output_dir of a search")
        found = select(options.search, options.samples, options.bn, options.policy,
                       _data(options))
        ranking.save(output, found)
    except (CheckpointError, ConfigError, DataError, OSError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return USAGE_ERROR
    shown = found.architectures[:options.top]
    sys.stdout.write(
        f"{len(found.architectures)} different architectures of {options.samples} from the "
        f"{options.policy}'s policy, scored on {found.images} validation images, {found.bn} BN\n"
        f"{ranking.table(shown)}\n{output}\n")
    return 0


def _data(options: argparse.Namespace) -> DataConfig | None:
    if not options.data_path:
        return None
    return DataConfig(options.data_path, img_size=options.img_size)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aerobi select", description=__doc__, epilog=EXAMPLE,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("search", type=pathlib.Path, help="output_dir of a search, or the prefix "
                        "of a checkpoint of the published code")
    parser.add_argument("--samples", type=_positive, default=100, help="architectures to draw")
    parser.add_argument("--bn", choices=ranking.BN_MODES, default=ranking.BN_MODES[0],
                        help="BN statistics: means over training batches that the architecture "
                        "alone has seen; those of the search; those of each scored batch")
    parser.add_argument("--policy", choices=POLICIES, default=POLICIES[0], help="who draws")
    parser.add_argument("--top", type=_positive, default=SHOWN, help="lines of the table")
    parser.add_argument("--output", type=pathlib.Path,
                        help=f"file to write; {ranking.FILE} beside the search unless given")
    parser.add_argument("--data_path", default="", help="data set, where the run does not say")
    parser.add_argument("--img_size", type=_positive, default=224, help="with --data_path: side of "
                        "a patch in pixels")
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
