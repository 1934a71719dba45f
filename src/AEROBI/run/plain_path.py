"""A name for a folder that TensorFlow can use as it is.

Its Saver, its reader of SavedModels and the operation that restores look for files by pattern:
`runs[1]` would be `runs1`, whose checkpoints a Saver then reads, or removes. And none of its
functions takes a path with bytes that are no UTF-8.
"""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

_SPECIAL = frozenset("*?[]{}\\")


@contextlib.contextmanager
def plain_path(folder: Path) -> Iterator[Path]:
    """The absolute `folder` itself, or for the time of the block a link to it in a plain place."""
    folder = folder.absolute()
    if _SPECIAL.isdisjoint(str(folder)) and is_utf8(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="aerobi-") as place:
        link = Path(place, "folder")
        link.symlink_to(folder, target_is_directory=True)
        yield link


def is_utf8(path: str) -> bool:
    """Whether a path has no byte that is no UTF-8, which Python keeps as half a character."""
    return path == path.encode("utf-8", "ignore").decode("utf-8")
