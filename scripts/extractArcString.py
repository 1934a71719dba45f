#!/usr/bin/env python3
"""Architectures and accuracies from a log: of this package, or of the published implementation.

Writes arc_string_output.txt (a line for each layer or cell), valid_accuracy_array.npy and
test_accuracy_array.npy, and names the best validation accuracy with every test accuracy there.
"""

import argparse
import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("AEROBI") is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from AEROBI.records.log_extract import extract
from AEROBI.records.published_log import LogError
from AEROBI.run.held_stderr import run_quietly

USAGE_ERROR = 2


def main() -> int:
    """Extracts what the command line names; returns the exit status."""
    options = parse_options()
    try:
        text = extract(options.stdout, options.arc_length - 1, options.output_dir)
    except LogError as error:
        return complain(str(error))
    except OSError as error:
        return complain(f"{error.filename or options.stdout}: {error.strerror or error}")
    sys.stdout.write(text + "\n")
    return 0


def parse_options() -> argparse.Namespace:
    """The options; wrong ones end the program with status 2."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stdout", type=Path, required=True, metavar="LOG",
                        help="the file stdout of an output folder, or the console text of a run")
    parser.add_argument("--arc-length", type=arc_length, default=8, metavar="N",
                        help="layers of an architecture, and one (default: 8); of cells not needed")
    parser.add_argument("--output_dir", type=Path, default=Path(), metavar="FOLDER",
                        help="where the three files go (default: the current folder)")
    return parser.parse_args()


def arc_length(text: str) -> int:
    """The number of layers, and one."""
    if not text.isdecimal() or int(text) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of layers and one, 2 or more")
    return int(text)


def complain(text: str) -> int:
    """One line to the console; returns the exit status."""
    sys.stderr.write(f"Error: {text}\n")
    return USAGE_ERROR


if __name__ == "__main__":
    sys.exit(run_quietly(main))
