"""`aerobi export`: a trained network as SavedModel and TFLite."""

import argparse
import logging
import pathlib
import sys
from collections.abc import Sequence

from AEROBI.commands.arguments import add_data_flags, add_override_flags, data_place, overrides
from AEROBI.commands.outcome import finish
from AEROBI.trained import export as export_library

EXAMPLE = "example: aerobi export outputs_2 --output model && aerobi predict model photo.jpg"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `aerobi export` with the words after it; returns the exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return finish(lambda: _run(options), str(options.output))


def _run(options: argparse.Namespace) -> None:
    description = export_library.export(
        options.model, options.output, options.thresholds == "tuned", overrides(options),
        data_place(options))
    sys.stdout.write(f"{export_library.table(description)}\n{options.output}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aerobi export", description=export_library.__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path, help="run directory, or prefix of a checkpoint")
    parser.add_argument("--output", type=pathlib.Path, required=True, metavar="FOLDER")
    parser.add_argument("--thresholds", choices=("default", "tuned"), default="default",
                        help="0.5, or tuned on the validation split for the exact match")
    add_data_flags(parser)
    add_override_flags(parser)
    return parser
