"""The head of a published log: the flags of the run, and the size of its network."""

from collections.abc import Mapping
from typing import Any

WIDTH = 80  # characters
RULE = "-" * WIDTH


def flag_lines(values: Mapping[str, Any]) -> list[str]:
    """Names in order, each with its value at the right edge and dots between; a rule around all."""
    rows = [name + str(value).rjust(WIDTH - len(name), ".")
            for name, value in sorted(values.items())]
    return [RULE, *rows, RULE]


def size_line(parameters: int) -> str:
    """How many trainable parameters the child has; in a search those of all operations."""
    return f"Model has {parameters} params"
