"""`aerobi select`: ranks architectures of a finished search, and says which one to keep."""

import argparse
import logging
import pathlib
import sys
from collections.abc import Sequence

from AEROBI.commands.arguments import patch_side, positive, whole_number
from AEROBI.commands.outcome import UsageError, finish
from AEROBI.config import DataConfig
from AEROBI.records import ranking
from AEROBI.selection.select import POLICIES, select

SHOWN = 10  # lines of the table
MOST_SAMPLES = 100_000
EXAMPLE = "example: aerobi select outputs && cat outputs/architectures.json"


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return finish(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    folder = options.search if options.search.is_dir() else options.search.parent
    output = options.output or folder / ranking.FILE
    if not output.parent.is_dir():
        raise UsageError(f"{output.parent}: no such folder; name the --output_dir of a search")
    found = select(options.search, options.samples, options.bn, options.policy, _data(options))
    ranking.save(output, found)
    shown = found.architectures[:options.top]
    sys.stdout.write(
        f"{len(found.architectures)} different architectures of {options.samples} from the "
        f"{options.policy}'s policy, scored on {found.images} validation images, {found.bn} BN\n"
        f"{ranking.table(shown)}\n{output}\n")


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
    parser.add_argument("--samples", type=whole_number(1, MOST_SAMPLES), default=100,
                        help="architectures to draw")
    parser.add_argument("--bn", choices=ranking.BN_MODES, default=ranking.BN_MODES[0],
                        help="BN statistics: means over training batches that the architecture "
                        "alone has seen; those of the search; those of each scored batch")
    parser.add_argument("--policy", choices=POLICIES, default=POLICIES[0], help="who draws")
    parser.add_argument("--top", type=positive, default=SHOWN, help="lines of the table")
    parser.add_argument("--output", type=pathlib.Path,
                        help=f"file to write; {ranking.FILE} beside the search unless given")
    parser.add_argument("--data_path", default="", help="data set, where the run does not say")
    parser.add_argument("--img_size", type=patch_side, default=224,
                        help="with --data_path: side of a patch in pixels")
    return parser
