"""Flags and kinds of numbers that several commands have."""

import argparse
import math
from collections.abc import Callable

from AEROBI.trained.overrides import DataPlace, Overrides

SCALINGS = {"antialiased": False, "aliased": True}  # value of --scaling → `aliased_scaling`
PATCH_SIDES = (8, 4096)  # pixels, from and to


def whole_number(low: int, high: int | None = None) -> Callable[[str], int]:
    """An argparse type: whole numbers from low to high, without an upper end where that is None."""
    wanted = f"a whole number, {low} or more" if high is None else (
        f"a whole number from {low} to {high}")

    def parse(text: str) -> int:
        digits = text.isascii() and text.isdecimal() and len(text) < 19
        if not digits or int(text) < low or (high is not None and int(text) > high):
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
        return int(text)

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """An argparse type: numbers from low to high; nan is none."""
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from {low:g} to {high:g}")
        return value

    return parse


positive = whole_number(1)
patch_side = whole_number(*PATCH_SIDES)
probability = number(0, 1)


def add_override_flags(parser: argparse._ActionsContainer) -> None:
    """Adds the flags that say of a model what it does not say itself; `overrides` reads them."""
    parser.add_argument("--child_fixed_arc", metavar="ARC",
                        help="architecture, where the model does not say (a search, or a "
                        "checkpoint of the published code)")
    parser.add_argument("--img_size", type=patch_side, metavar="PIXELS",
                        help="side of a patch, where the model does not say")
    parser.add_argument("--last", action="store_true",
                        help="weights of the last epoch, not of the best on validation")
    parser.add_argument("--scaling", choices=tuple(SCALINGS), help="how photographs are scaled to "
                        "patches; default: as those that the model was trained on")
    parser.add_argument("--trust_model", action="store_true",
                        help="open an exported model whatever operations it holds")


def overrides(options: argparse.Namespace) -> Overrides:
    """What the options of `add_override_flags` say, as a library takes it."""
    return Overrides(options.child_fixed_arc, options.img_size, options.last,
                     SCALINGS.get(options.scaling), options.trust_model)


def add_data_flags(parser: argparse._ActionsContainer) -> None:
    """Adds the flags that say where the images are; `data_place` reads them."""
    parser.add_argument("--data_path", default="", help="data set; default: that of the run")
    parser.add_argument("--cache_dir", default="", help="folder of the packed images")


def data_place(options: argparse.Namespace) -> DataPlace:
    """What the options of `add_data_flags` say, as a library takes it."""
    return DataPlace(options.data_path, options.cache_dir)
