"""`aerobi evaluate`: a trained network on a split, all metrics with 95 % intervals."""

import argparse
import json
import logging
import pathlib
import sys
from collections.abc import Sequence

from AEROBI.commands.arguments import add_data_flags, add_override_flags, data_place, overrides
from AEROBI.commands.outcome import finish
from AEROBI.data_utils import SPLITS
from AEROBI.run.whole_files import replace_file
from AEROBI.trained.evaluation import Views, evaluate

EXAMPLE = "example: aerobi evaluate outputs_2 --split test --thresholds tuned --flip"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `aerobi evaluate` with the words after it; returns the exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return finish(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    report = evaluate(options.model, options.split, options.thresholds == "tuned",
                      Views(options.flip, options.five_crop), overrides(options),
                      data_place(options))
    if options.output:
        text = json.dumps(report.to_record(), indent=1, allow_nan=False)
        replace_file(options.output, (text + "\n").encode())
    sys.stdout.write(report.summary() + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="aerobi evaluate", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("model", type=pathlib.Path,
                        help="run directory, prefix of a checkpoint, or exported model")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--thresholds", choices=("default", "tuned"), default="default",
                        help="the model's (0.5 unless exported with others), or tuned on the "
                        "validation split for the exact match")
    parser.add_argument("--flip", action="store_true",
                        help="average with the left-right mirrored image")
    parser.add_argument("--five_crop", action="store_true",
                        help="average over the four corners and the centre")
    add_data_flags(parser)
    parser.add_argument("--output", type=pathlib.Path, metavar="FILE", help="JSON file to write")
    add_override_flags(parser)
    return parser
