"""Processes of this package that others of it start."""

import os
import pathlib


def child_environment() -> dict[str, str]:
    """In which this package can be imported, from a checkout that is not installed as well."""
    root = str(pathlib.Path(__file__).resolve().parents[1])
    before = os.environ.get("PYTHONPATH", "")
    return {**os.environ, "PYTHONPATH": root + (os.pathsep + before if before else "")}
