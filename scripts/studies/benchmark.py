#!/usr/bin/env python3
"""Speed and memory as ratios within one run on one machine: a table, and the same as JSON.

Competitors take turns step by step in one process with as many threads each; a time is the mean
over architectures of the median of each. Without PyTorch (`pip install '.[bench]'`) its rows are
missing. Everything takes some thirty minutes on two quiet cores; --quick, two or three.
"""

import argparse
import pathlib
import sys
import time

from bench.own_process import WorkerError
from bench.report import machine, table, write_json

SECTIONS = ("memory", "startup", "data", "search", "final", "bfloat16", "all_six", "controller",
            "growth")


def main() -> int:
    """Runs the chosen sections; returns the exit status."""
    options = parse()
    # PyTorch, then TensorFlow, are imported here, after the cheap checks.
    from bench.children import MismatchError
    from bench.sections import RUN

    start, rows, described = time.monotonic(), [], machine()
    for section in options.only:
        sys.stderr.write(f"{section} ({time.monotonic() - start:.0f} s so far)\n")
        try:
            rows += RUN[section](options)
        except (WorkerError, MismatchError) as error:
            sys.stderr.write(f"Error: {section}: {error}\n")
            return 2
        # After each section: a long run that is stopped has what it measured.
        write_json(options.output, rows, described, time.monotonic() - start)
    sys.stdout.write(table(rows, described))
    sys.stdout.write(f"\n{time.monotonic() - start:.0f} s; written to {options.output}\n")
    return 0


def parse() -> argparse.Namespace:
    """The command line; what it leaves open depends on --quick."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="16 filters, 32 px, few rounds")
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS,
                        metavar="SECTION", help=f"of {', '.join(SECTIONS)}; default: all")
    parser.add_argument("--filters", nargs="+", type=even, help="default: 16 64")
    parser.add_argument("--sizes", nargs="+", type=positive,
                        help="sides of patches, pixels; default: 32 64 224")
    parser.add_argument("--layers", type=positive, default=7, help="default: 7")
    parser.add_argument("--rounds", type=positive, help="over the architectures; default: 8")
    parser.add_argument("--seconds", type=positive, default=40,
                        help="for a setting, after which no new round begins; default: 40")
    parser.add_argument("--compiled", type=int, choices=range(5), metavar="N",
                        help="architectures that torch.compile is measured on, each a minute or "
                             "so of compiling; default: 1, with --quick 0")
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    parser.add_argument("--memory-steps", type=positive,
                        help="steps over which memory must not grow; default: 1000")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("benchmark.json"),
                        help="JSON file; default: benchmark.json")
    options = parser.parse_args()
    quick = {"filters": [16], "sizes": [32], "rounds": 3, "compiled": 0, "memory_steps": 200}
    full = {"filters": [16, 64], "sizes": [32, 64, 224], "rounds": 8, "compiled": 1,
            "memory_steps": 1000}
    for name, value in (quick if options.quick else full).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    if not options.output.absolute().parent.is_dir():
        parser.error(f"--output {options.output}: its folder does not exist")
    return options


def positive(text: str) -> int:
    """A whole number above 0."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def even(text: str) -> int:
    """An even number: a factorized reduction halves the filters."""
    number = positive(text)
    if number % 2:
        raise argparse.ArgumentTypeError(f"{text!r} is odd; the number of filters must be even")
    return number


if __name__ == "__main__":
    sys.exit(main())
