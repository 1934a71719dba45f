"""The command `predict`: probabilities for photographs, and heat maps of big ones."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np
from PIL import Image
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from AEROBI.commands.arguments import (
    add_override_flags,
    overrides,
    positive,
    probability,
    whole_number,
)
from AEROBI.commands.outcome import UsageError, finish
from AEROBI.prediction.heat_map import check_matplotlib
from AEROBI.prediction.output import FORMS, Form, open_output
from AEROBI.prediction.photos import STDIN, find, read_list, shown
from AEROBI.prediction.picture_folder import PictureFolder
from AEROBI.prediction.scan import Job, predict
from AEROBI.run.regular_files import regular
from AEROBI.trained.tflite_classifier import SUFFIX, open_tflite

if TYPE_CHECKING:
    from AEROBI.trained.classifier import Classifier

SOME_SKIPPED = 1
_EPILOG = """\
examples:
  %(prog)s outputs_2 photos
  %(prog)s outputs_2 photos --format csv --output probabilities.csv
  %(prog)s outputs_2 bridge.jpg --heat_maps maps
  find photos -name '*.jpg' | %(prog)s outputs_2 - --format jsonl

Exit status: 0 all were read, 1 some were skipped (stderr names them), 2 none, or wrong usage.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Predicts what the command line names; returns the exit status."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    parser = _parser()
    options = parser.parse_intermixed_args(argv)
    return finish(lambda: _run(options), str(options.output or ""))


def _run(options: argparse.Namespace) -> int:
    _check(options)
    with _quiet_libraries():
        return _predict(options)


def _predict(options: argparse.Namespace) -> int:
    pictures = PictureFolder(options.heat_maps, options.force) if options.heat_maps else None
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open_output(options.output, options.force))
        classifier = _open(options, stack)
        if pictures:
            pictures.make()
        thresholds = classifier.thresholds if options.threshold is None else np.full(
            len(classifier.class_names), options.threshold, np.float32)
        job = Job(classifier, thresholds, options.batch_size, options.patch_size, options.stride,
                  pictures, options.per_class)
        form = FORMS[options.format](file, classifier.class_names, thresholds)
        written = _write(options, job, form, file)
        if not written:
            raise UsageError("no photograph could be read" if job.skipped else
                             "no PNG or JPEG there; name photographs, or folders with some")
    return SOME_SKIPPED if job.skipped else 0


def _open(options: argparse.Namespace, stack: contextlib.ExitStack) -> Classifier:
    """The model; TensorFlow, which takes seconds, is imported for those that need it."""
    if options.model.suffix == SUFFIX:
        return open_tflite(options.model)
    from AEROBI.trained.classifier import open_classifier

    return stack.enter_context(open_classifier(options.model, overrides(options)))


def _write(options: argparse.Namespace, job: Job, form: Form, file: TextIO) -> int:
    """Writes a row for each photograph as it comes; returns how many."""
    written = 0
    found = find(_names(options), options.heat_maps)
    hidden = not sys.stderr.isatty() or (options.output is None and sys.stdout.isatty())
    with logging_redirect_tqdm(), contextlib.closing(predict(found, job)) as rows:
        for row in tqdm(rows, unit=" photos", disable=hidden):
            if not written:
                form.header()
            form.row(row)
            file.flush()  # whoever reads from a pipe wants it now
            written += 1
    return written


def _names(options: argparse.Namespace) -> Iterator[str]:
    """Files and folders, from the command line and from lists."""
    for name in options.images:
        if name == STDIN:
            yield from read_list(sys.stdin.buffer)
        else:
            yield name
    if options.from_list == STDIN:
        yield from read_list(sys.stdin.buffer)
    elif options.from_list is not None:
        with open(options.from_list, "rb", opener=regular) as file:
            yield from read_list(file)


# --- the command line ------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aerobi predict", epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s MODEL IMAGE... [options]",
        description="Probabilities of the defects in photographs, one row a photograph;\n"
        "* where a label is said to hold.")
    parser.add_argument("model", type=Path, metavar="MODEL",
                        help="run directory, checkpoint, exported folder or .tflite file")
    parser.add_argument("images", nargs="*", metavar="IMAGE",
                        help="PNG, JPEG, folder, or - for names on standard input")
    parser.add_argument("--from_list", metavar="FILE", help="text file with one name a line")
    parser.add_argument("--format", choices=tuple(FORMS), default="table", metavar="FORM",
                        help="table (default), csv or jsonl")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: the console")
    parser.add_argument("--force", action="store_true", help="overwrite FILE, and in FOLDER")
    parser.add_argument("--threshold", type=probability, metavar="P", help="for all labels; "
                        "default: those of the model, else 0.5")
    parser.add_argument("--batch_size", type=whole_number(1, 65_536), default=32, metavar="N",
                        help="patches at once; default: %(default)s")
    _add_heat_map_flags(parser.add_argument_group("heat maps"))
    add_override_flags(parser.add_argument_group("what the model does not say"))
    return parser


def _add_heat_map_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--heat_maps", metavar="FOLDER", help="go over photographs in windows, draw "
                       "the result; rows have the maxima of the windows")
    group.add_argument("--patch_size", type=positive, metavar="PIXELS", help="side of a window; "
                       "default: a quarter of the shorter side, or the network's patch")
    group.add_argument("--stride", type=positive, metavar="PIXELS",
                       help="from window to window; default: half a window")
    group.add_argument("--per_class", action="store_true",
                       help="a picture a class, not one sheet a photograph")


def _check(options: argparse.Namespace) -> None:
    """UsageError for what can be seen before the model is opened."""
    if not options.images and options.from_list is None:
        raise UsageError("no photographs; name files or folders after the model, - or --from_list")
    if options.from_list not in (None, STDIN) and not os.path.exists(options.from_list):
        raise UsageError(f"--from_list {shown(options.from_list)}: no such file")
    for name in options.images:
        if name != STDIN and not os.path.lexists(name):
            raise UsageError(f"{shown(name)}: no such file or folder")
    if options.heat_maps is None:
        if options.patch_size or options.stride or options.per_class:
            raise UsageError("--patch_size, --stride and --per_class need --heat_maps FOLDER")
        return
    check_matplotlib()
    if options.patch_size and options.stride and options.stride > options.patch_size:
        raise UsageError("--stride is larger than --patch_size, which would leave gaps; give a "
                         "smaller one")
    folder = Path(os.path.realpath(options.heat_maps))
    for name in options.images:
        if name != STDIN and Path(os.path.realpath(name)).is_relative_to(folder):
            raise UsageError(f"--heat_maps {shown(options.heat_maps)}: {shown(name)} is, or lies "
                             "in, the same folder; name another one")


# --- around it -------------------------------------------------------------------------


@contextlib.contextmanager
def _quiet_libraries() -> Iterator[None]:
    """No warnings, and not Pillow's limit of 89 megapixels: `photos` has its own."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="PIL")  # oddities that do no harm
            warnings.filterwarnings("ignore", "Glyph")  # that matplotlib's font does not have
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before
