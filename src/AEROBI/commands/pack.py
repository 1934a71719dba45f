"""Scales the images of a data set once, as the first run on it would."""

import argparse
import logging
import sys
from collections.abc import Sequence

from AEROBI.data.packed_images import open_packed
from AEROBI.data_utils import DataError, log_summary, read_data_set

USAGE_ERROR = 2
EXAMPLE = "example: aerobi pack CODEBRIM --img_size 224"


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        data_set = read_data_set(options.data_path)
        log_summary(data_set)
        open_packed(data_set, options.img_size, options.cache_dir)
    except (DataError, OSError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return USAGE_ERROR
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aerobi pack", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("data_path", help="folder of the data set, or its CSV file")
    parser.add_argument("--img_size", type=_patch_size, default=224, metavar="PIXELS",
                        help="shorter side of the scaled images (default: %(default)s)")
    parser.add_argument("--cache_dir", default="", help="folder of the packed file "
                        "(default: ~/.cache/aerobi)")
    return parser


def _patch_size(text: str) -> int:
    if not text.isdecimal() or not 8 <= int(text) <= 4096:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of pixels from 8 to 4096")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
