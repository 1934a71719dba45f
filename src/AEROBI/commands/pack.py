"""Scales the images of a data set once, as the first run on it would."""

import argparse
import logging
from collections.abc import Sequence

from AEROBI.commands.arguments import patch_side
from AEROBI.commands.outcome import finish
from AEROBI.data.packed_images import open_packed
from AEROBI.data_utils import log_summary, read_data_set
from AEROBI.run.console import ConsoleHandler

EXAMPLE = "example: aerobi pack CODEBRIM --img_size 224"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `aerobi pack` with the words after it; returns the exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[ConsoleHandler()])
    return finish(lambda: _run(options), "the packed file")


def _run(options: argparse.Namespace) -> None:
    data_set = read_data_set(options.data_path)
    log_summary(data_set)
    open_packed(data_set, options.img_size, options.cache_dir)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aerobi pack", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("data_path", help="folder of the data set, or its CSV file")
    parser.add_argument("--img_size", type=patch_side, default=224, metavar="PIXELS",
                        help="shorter side of the scaled images (default: %(default)s)")
    parser.add_argument("--cache_dir", default="", help="folder of the packed file "
                        "(default: ~/.cache/aerobi)")
    return parser
