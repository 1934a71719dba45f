#!/usr/bin/env python3
"""The last lines of the quickstart: the chosen network against random ones, trained alike.

    scripts/quickstart_summary.py quickstart/final quickstart/chance/halving/candidate_*/

Each is evaluated on the test split with the weights of the epoch that was best on validation.
"""

import argparse
import pathlib
import sys
from typing import NamedTuple

import AEROBI
from AEROBI.flags.from_run_dir import stored_run
from AEROBI.run.held_stderr import run_quietly
from AEROBI.search_space.spaces import cost_of_run, space_of


class Network(NamedTuple):
    """A trained network and what it is worth."""

    exact_match: float  # on test
    interval: tuple[float, float]  # 95 %, bootstrap over images
    parameters: int
    architecture: str


def measure(run_dir: pathlib.Path) -> Network:
    """Evaluates the network in a run directory."""
    config = stored_run(run_dir).config
    architecture = space_of(config.child).from_numbers(config.child.fixed_arc)
    report = AEROBI.evaluate(run_dir)
    return Network(report.metrics.exact_match, tuple(report.intervals.exact_match),
                   cost_of_run(config).parameters, str(architecture))


def line(name: str, network: Network) -> str:
    """One line of the summary."""
    low, high = network.interval
    return (f"{name:13s} {network.exact_match:.3f} [{low:.3f}, {high:.3f}]   "
            f"{network.parameters:7,d} parameters   {network.architecture}")


def main() -> int:
    """Prints the summary."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chosen", type=pathlib.Path, help="run directory of the chosen network")
    parser.add_argument("random", type=pathlib.Path, nargs="+", help="those of random ones")
    options = parser.parse_args()
    chosen = measure(options.chosen)
    random = sorted((measure(run_dir) for run_dir in options.random), reverse=True)
    median = random[len(random) // 2]
    values = ", ".join(f"{network.exact_match:.3f}" for network in random)
    sys.stdout.write("\n".join([
        "== Summary: test exact match of the epoch that was best on validation, 95 % interval",
        line("chosen", chosen), line("random median", median),
        f"all {len(random)} random ones: {values}", ""]))
    return 0


if __name__ == "__main__":
    sys.exit(run_quietly(main))
