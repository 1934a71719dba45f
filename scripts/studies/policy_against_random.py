#!/usr/bin/env python3
"""Does a search's controller prefer anything? Its samples against random architectures."""

import argparse
import logging
import pathlib
import sys

from AEROBI.config import ConfigError
from AEROBI.data_utils import DataError
from AEROBI.run.checkpoints import CheckpointError
from AEROBI.selection.policy_check import compare


def main() -> int:
    """Prints one line; exit status 2 where RUN_DIR is no search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run_dir", type=pathlib.Path, help="output_dir of a search")
    parser.add_argument("--samples", type=int, default=200, help="architectures of each kind")
    options = parser.parse_args()
    if options.samples < 2:
        parser.error("--samples must be at least 2")
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        sys.stdout.write(compare(options.run_dir, options.samples).summary() + "\n")
    except (CheckpointError, ConfigError, DataError, OSError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
