"""A file that only grows, line by line, so that a kill at any moment tears no line."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from AEROBI.run.file_lock import Lock, lock_file
from AEROBI.run.regular_files import own


class AppendFile:
    """Open for appending; each write is one system call."""

    def __init__(self, path: Path):
        """Opens the file at its end, or creates it.

        Raises:
            OSError: it cannot be opened, or is a link.
        """
        self.path = path
        self._file = open(path, "ab", buffering=0, opener=own)  # noqa: SIM115
        self.size_at_open = self.size()  # bytes that earlier processes wrote

    def write(self, text: str) -> None:
        """Appends text, which brings its own line ends.

        Raises:
            OSError: not all of it could be written, so the disk is full.
        """
        content = text.encode("utf-8", "backslashreplace")
        if self._file.write(content) != len(content):
            raise OSError(f"{self.path}: the disk is full; free some space and start again")

    def end_last_line(self) -> None:
        """Ends a line that a power cut tore, lest it swallow the next; call before any write."""
        if not self.size():
            return
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            torn = file.read(1) != b"\n"
        if torn:
            self.write("\n")
            self.size_at_open += 1

    def size(self) -> int:
        """The length of the file, in bytes."""
        return os.fstat(self._file.fileno()).st_size

    def cut(self, start: int, end: int) -> None:
        """Removes the bytes from `start` to before `end`."""
        with self.path.open("rb") as file:
            file.seek(end)
            rest = file.read()
        self._file.truncate(start)
        if rest:
            self._file.write(rest)

    def lock(self) -> bool:
        """False if another process holds the lock; it ends with the process that holds it.

        True as well where there are no locks: a run must be possible on any file system.
        """
        return lock_file(self._file) is not Lock.BUSY

    def close(self) -> None:
        """Closes the file and gives the lock up."""
        self._file.close()


class LineHandler(logging.Handler):
    """Logging into an AppendFile: the bare message, warnings and errors with their level."""

    def __init__(self, file: AppendFile):
        """Takes records of INFO and above."""
        super().__init__(logging.INFO)
        self._file, self._failed = file, False

    def emit(self, record: logging.LogRecord) -> None:
        """Appends the line of a record.

        Raises:
            OSError: it cannot be written, so the run must end; what is said about that goes to
                the console alone, as does an error that ends the run already.
        """
        if self._failed:
            return
        prefix = f"{record.levelname}: " if record.levelno >= logging.WARNING else ""
        try:
            self._file.write(f"{prefix}{self.format(record)}\n")
        except OSError:
            self._failed = True
            if record.levelno < logging.ERROR:
                raise
        except Exception:
            self.handleError(record)


def json_line(record: Mapping[str, Any]) -> str:
    """One line of strict JSON; numbers of numpy are taken, nan and infinities become null."""
    return json.dumps(_plain(record), allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
