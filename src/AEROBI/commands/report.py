"""`aerobi report`: a run as one HTML page, or its curves as a picture."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from AEROBI.commands.outcome import finish
from AEROBI.report.page import curves_picture, report

_EXAMPLES = """\
examples:
  %(prog)s outputs                           writes outputs/report.html
  %(prog)s outputs --curves curves.png       only the curves, as a picture
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Writes what the command line names; returns the exit status."""
    options = _parser().parse_args(argv)
    return finish(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    if options.curves is not None:
        written = curves_picture(options.run_dir, options.curves)
    else:
        written = report(options.run_dir, options.output, options.data_path)
    sys.stdout.write(f"{written}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aerobi report", description="A run at a glance: one HTML file that opens without a "
        "network.\nRUN_DIR: of a search or a final training, over or still going; of the "
        "published\ncode, a folder with its stdout.",
        epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="output_dir of a run")
    parser.add_argument("--output", type=Path, metavar="FILE.html",
                        help="default: report.html in RUN_DIR")
    parser.add_argument("--data_path", type=Path, metavar="FOLDER",
                        help="where the data set is now; default: where the run had it")
    parser.add_argument("--curves", type=Path, metavar="FILE.png",
                        help="write only the curves, as a PNG or SVG picture")
    return parser
