"""`aerobi sample-data`: makes the embedded data set, in CODEBRIM's layout."""

import argparse
import logging
from collections.abc import Sequence

from AEROBI.commands.arguments import whole_number
from AEROBI.commands.outcome import finish
from AEROBI.data_utils import SPLITS
from AEROBI.run.console import ConsoleHandler
from AEROBI.sample_data.generate import MAX_IMAGES, SampleSizes, generate


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `aerobi sample-data` with the words after it; returns the exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[ConsoleHandler()])
    sizes = SampleSizes(options.train, options.val, options.test)
    return finish(lambda: generate(options.output, sizes, options.seed), options.output)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aerobi sample-data",
        description="Makes the embedded data set: small drawn pictures of concrete with cracks, "
        "spallation, efflorescence, exposed bars and corrosion stains, in CODEBRIM's layout.",
        epilog="The same seed gives the same files. A folder that is not empty is never touched. "
        "example: aerobi sample-data --output data --train 1000")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to make")
    for split, default in zip(SPLITS, (1000, 200, 200)):
        parser.add_argument(f"--{split}", type=whole_number(1, MAX_IMAGES), default=default,
                            metavar="N", help=f"images in the {split} split (default: %(default)s)")
    parser.add_argument("--seed", type=whole_number(0), default=0, metavar="N",
                        help="whole number that everything is drawn from (default: %(default)s)")
    return parser
