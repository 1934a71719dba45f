"""The k best architectures of a search, trained by many processes: the command line."""

import argparse
import logging
import pathlib
import sys
from collections.abc import Sequence

from AEROBI.cluster import train_best as library
from AEROBI.cluster.train_best import train_best
from AEROBI.commands.arguments import positive
from AEROBI.commands.outcome import finish
from AEROBI.run.console import ConsoleHandler
from AEROBI.run.held_stderr import open_closed_streams
from AEROBI.training.stopping import Stopped

EXAMPLE = ("example: scripts/cluster/train_best.py outputs --best 3 --output finals -- "
           "scripts/AEROBI_macro_final.sh --data_path=CODEBRIM")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `aerobi train-best` with the words after it; returns the exit status."""
    open_closed_streams()
    argv = list(sys.argv[1:] if argv is None else argv)
    cut = argv.index("--") if "--" in argv else len(argv)
    options, command = _parser().parse_args(argv[:cut]), argv[cut + 1:]
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[
        ConsoleHandler("the trainings go on")])
    if all(word.startswith("--") for word in command):  # flags alone: of this package
        command = [sys.executable, "-m", "AEROBI.main", *command]
    return finish(lambda: _run(options, command))


def _run(options: argparse.Namespace, command: Sequence[str]) -> int:
    try:
        return train_best(options.search, options.best, options.output, command)
    except Stopped as stopped:
        return 128 + stopped.signal_number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="train_best", description=library.__doc__, epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("search", type=pathlib.Path,
                        help="folder of a search with an architectures.json")
    parser.add_argument("--best", type=positive, default=3, help="how many (3)")
    parser.add_argument("--output", type=pathlib.Path, required=True,
                        help="folder of the final trainings, the same for all processes")
    return parser


if __name__ == "__main__":
    sys.exit(main())
