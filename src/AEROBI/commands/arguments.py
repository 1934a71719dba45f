"""The flags of every command that uses a model: what the model itself may not say."""

import argparse
from typing import NamedTuple


class Overrides(NamedTuple):
    """What the user says of a model; None: what the model says."""

    fixed_arc: str | None = None  # as --child_fixed_arc
    img_size: int | None = None  # pixels
    last: bool = False  # the weights of the last epoch, not those best on validation


def add_override_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that `overrides` reads."""
    parser.add_argument("--child_fixed_arc", metavar="ARC",
                        help="architecture, where the model does not say (a search, or a "
                        "checkpoint of the published code)")
    parser.add_argument("--img_size", type=int, metavar="PIXELS",
                        help="side of a patch, where the model does not say")
    parser.add_argument("--last", action="store_true",
                        help="weights of the last epoch, not of the best on validation")


def overrides(options: argparse.Namespace) -> Overrides:
    """Of the options of `add_override_flags`."""
    return Overrides(options.child_fixed_arc, options.img_size, options.last)
