"""The flags of every command that uses a model: what the model itself may not say."""

import argparse

from AEROBI.trained.overrides import DataPlace, Overrides

SCALINGS = {"antialiased": False, "aliased": True}  # value of --scaling → `aliased_scaling`


def add_override_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that `overrides` reads."""
    parser.add_argument("--child_fixed_arc", metavar="ARC",
                        help="architecture, where the model does not say (a search, or a "
                        "checkpoint of the published code)")
    parser.add_argument("--img_size", type=int, metavar="PIXELS",
                        help="side of a patch, where the model does not say")
    parser.add_argument("--last", action="store_true",
                        help="weights of the last epoch, not of the best on validation")
    parser.add_argument("--scaling", choices=tuple(SCALINGS), help="how photographs are scaled to "
                        "patches; default: as those that the model was trained on")


def overrides(options: argparse.Namespace) -> Overrides:
    """Of the options of `add_override_flags`."""
    return Overrides(options.child_fixed_arc, options.img_size, options.last,
                     SCALINGS.get(options.scaling))


def data_place(options: argparse.Namespace) -> DataPlace:
    """Of the options --data_path and --cache_dir."""
    return DataPlace(options.data_path, options.cache_dir)
