"""What a terminal showed of a line of a log: without colours and progress bars."""

import re
from collections.abc import Iterator

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")
# A tqdm bar that was left on the line, its beginning and its end. Two searches, and an end of
# bounded length, so that no line takes more than time in proportion to its own length.
_BAR_BEGINS = re.compile(r"\d%\|")
_BAR_ENDS = re.compile(r"\| {0,9}\d{1,18}/\S{1,20} \[[^\]]{0,200}\]")


def shown_texts(line: str) -> Iterator[str]:
    """What a raw line shows, one text for each time the cursor went back to its start."""
    for text in _ANSI.sub("", line).split("\r"):
        text = _without_bar(text).strip("\0 \t\n")
        if text:
            yield text


def _without_bar(text: str) -> str:
    """What stands behind a progress bar; all of it where there is none."""
    begin = _BAR_BEGINS.search(text)
    end = _BAR_ENDS.search(text, begin.end()) if begin else None
    return text[end.end():] if end else text
