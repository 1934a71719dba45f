"""Files that are either the old ones or the new ones, never half of them."""

import os
from collections.abc import Mapping
from pathlib import Path

# A fixed name: what a killed process leaves behind is overwritten by the next one.
TEMPORARY_SUFFIX = ".tmp"


def replace_file(path: Path, content: bytes) -> None:
    """Writes `content` to `path`; raises OSError and leaves the old file where that fails."""
    replace_files({path: content})


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Writes several files; none is replaced before all are on the disk.

    Raises:
        OSError: a file cannot be written; no temporary file stays behind.
    """
    temporary = {path: path.with_name(path.name + TEMPORARY_SUFFIX) for path in contents}
    try:
        for path, content in contents.items():
            _write_through(temporary[path], content)
        for path in contents:
            temporary[path].replace(path)
    finally:
        for path in temporary.values():
            path.unlink(missing_ok=True)


def _write_through(path: Path, content: bytes) -> None:
    """To the disk itself: a rename may survive a power cut that the content does not."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
