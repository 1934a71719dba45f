"""The flags that every command with a MODEL has."""

import argparse

from AEROBI.commands.arguments import add_override_flags, overrides
from AEROBI.trained.overrides import Overrides


def test_what_is_not_said_is_the_models():
    parser = argparse.ArgumentParser()
    add_override_flags(parser)
    assert overrides(parser.parse_args([])) == Overrides(None, None, False)
    given = overrides(parser.parse_args(["--child_fixed_arc=1 2 0", "--img_size=64", "--last"]))
    assert given == Overrides("1 2 0", 64, True)
