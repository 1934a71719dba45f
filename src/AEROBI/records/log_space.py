"""Which search space the architectures that a log prints are of, by the form of the first one."""

import re
from collections.abc import Iterable

from AEROBI.micro.cells import CELL_NAMES, PER_NODE
from AEROBI.records.shown_text import shown_texts
from AEROBI.search_space.spaces import MacroSpace, MicroSpace, Space


def space_of_log(lines: Iterable[str]) -> Space | None:
    """The space of the first complete architecture; None where there is none.

    A row for each layer, each a number longer than the one above; or two equal rows of cells.
    """
    rows: list[str] = []
    for line in lines:
        for text in shown_texts(line):
            if re.fullmatch(r"\[[\d\s]*\]?", text):
                rows.append(text)
            elif rows and "]" not in rows[-1] and re.fullmatch(r"[\d\s]*\]?", text):
                rows[-1] += " " + text  # a row that numpy wrapped
            elif text.startswith("val_acc=") and rows:
                return space_of_rows([len(row.strip("[]").split()) for row in rows])
    return None


def space_of_rows(lengths: list[int]) -> Space:
    """The space of an architecture whose rows have so many numbers."""
    last = max(lengths[-1], 1)
    if lengths == [last] * len(CELL_NAMES) and last % PER_NODE == 0:
        return MicroSpace(last // PER_NODE)
    return MacroSpace(last)
