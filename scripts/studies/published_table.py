#!/usr/bin/env python3
"""The paper's table of networks (CODEBRIM, table 2) on a data set of one's own.

ENAS-1, the architecture that the published script ships (ENAS-2), DenseNet-121 without pretrained
weights, and any architectures that --network adds are trained alike: same patches, epochs, schedule
and batches, which the flags after `--` say (`--data_path=...` at least), on top of the preset of
`aerobi final`. Printed are, as in the paper, the best validation exact match and the test exact
match of that epoch, as mean and standard error over the seeds, parameters, and minutes of CPU time.
Started again, the study goes on where it was; --only NETWORK leaves the others to another process.
"""

import argparse
import json
import pathlib
import resource
import subprocess
import sys
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from AEROBI.architecture import ENAS_1, SHIPPED, Architecture
from AEROBI.flags.from_run_dir import stored_run
from AEROBI.records.run_records import read_run
from AEROBI.search_space.spaces import cost_of_run

HERE = pathlib.Path(__file__).parent
DENSENET = "DenseNet-121"


class Training(NamedTuple):
    """What one training came to."""

    val: float  # exact match of the best epoch
    test: float  # exact match of that epoch
    parameters: int
    cpu_minutes: float


def train(name: str, text: str, seed: int, options: argparse.Namespace) -> Training:
    """Trains a network once, or reads what it came to before."""
    place = options.output_dir / f"{name}_{seed}"
    written = place / "training.json"
    if not written.exists():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(_command(name, text, seed, place, options), check=True,
                       stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        training = _read(place)._replace(cpu_minutes=seconds / 60)
        written.write_text(json.dumps(training._asdict()) + "\n")
    return Training(**json.loads(written.read_text()))


def _command(name: str, text: str, seed: int, place: pathlib.Path,
             options: argparse.Namespace) -> list[str]:
    flags = [*options.flags, f"--seed={seed}"]
    if name == DENSENET:
        return [sys.executable, str(HERE / "densenet.py"), "--output_dir", str(place), "--", *flags]
    return [sys.executable, "-m", "AEROBI.cli", "final", *flags, f"--output_dir={place}",
            f"--child_fixed_arc={text}"]


def _read(place: pathlib.Path) -> Training:
    """The best epoch on validation, the first of several."""
    result = place / "result.json"
    if result.exists():  # of densenet.py
        record = json.loads(result.read_text())
        best = max(record["epochs"], key=lambda epoch: epoch["val"])
        return Training(best["val"], best["test"], record["parameters"], 0.0)
    _, val, test = read_run(place).best_evaluation()
    return Training(val, test, cost_of_run(stored_run(place).config).parameters, 0.0)


def summary(name: str, trainings: Iterable[Training]) -> str:
    """A line of the table; percent, as the paper has it."""
    rows = np.array([training[:2] for training in trainings]) * 100
    rows_of = list(trainings)
    error = rows.std(0, ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else np.full(2, np.nan)
    minutes = np.mean([training.cpu_minutes for training in rows_of])
    return (f"{name:14s} {rows[:, 0].mean():6.2f} ± {error[0]:4.2f}   {rows[:, 1].mean():6.2f} "
            f"± {error[1]:4.2f}   {rows_of[0].parameters:10,d}   {minutes:6.1f}")


def _network(text: str) -> tuple[str, str]:
    name, _, numbers = text.partition("=")
    if not numbers:
        raise argparse.ArgumentTypeError(f"{text!r}: NAME=ARCHITECTURE was expected")
    return name, str(Architecture.parse(numbers, 7))


def main() -> int:
    """Prints the table; keeps everything below --output_dir."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--network", type=_network, action="append", default=[],
                        metavar="NAME=ARCHITECTURE", help="a further network; may be repeated")
    parser.add_argument("--only", action="append", default=[], metavar="NETWORK")
    parser.add_argument("flags", nargs="*", help="of the final trainings, after --")
    options = parser.parse_args()
    networks = {"ENAS-1": ENAS_1, "ENAS-2": SHIPPED, **dict(options.network), DENSENET: ""}
    sys.stdout.write(f"{'net':14s} best validation   test there      parameters   CPU min\n")
    for name, text in networks.items():
        if not options.only or name in options.only:
            trainings = [train(name, text, seed, options) for seed in options.seeds]
            sys.stdout.write(summary(name, trainings) + "\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
