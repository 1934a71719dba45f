"""Files are opened only where they are files, and JSON is read without a traceback.

Whoever opens a named pipe waits until somebody writes into it, which may be never; a device has
no end. A folder from elsewhere may hold either under any name.
"""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def regular(path: str | os.PathLike[str], flags: int) -> int:
    """The `opener` of `open` for a path that may lead to something else than a file.

    Raises:
        OSError: it is a pipe, a socket, a folder, or a device that is to be read; or what opening
            raises.
    """
    descriptor = os.open(path, flags | _WITHOUT_WAITING, 0o666)
    try:
        mode = os.fstat(descriptor).st_mode
        written = flags & (os.O_WRONLY | os.O_RDWR)
        if not (written and stat.S_ISCHR(mode)):  # /dev/null takes what it is given at once
            _check(path, mode)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def own(path: str | os.PathLike[str], flags: int) -> int:
    """The same for a file that is added to: not through a link, which may lead to any other.

    Raises:
        OSError: it is a link; or as `regular`.
    """
    try:
        return regular(path, flags | getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(errno.ELOOP, "is a link, and a run adds only to files of its own",
                      os.fspath(path)) from None


def check_regular(path: str | os.PathLike[str]) -> None:
    """For a path that another library opens; raises OSError where it is there and no file."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    _check(path, mode)


def read_bytes(path: Path) -> bytes:
    """All of a file; raises OSError as `regular` does."""
    with open(path, "rb", opener=regular) as file:
        return file.read()


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        OSError: it cannot be read, or is no file.
        ValueError: it is no JSON in UTF-8, or nested thousands deep.
    """
    try:
        return json.loads(read_bytes(path).decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deep") from None


def _check(path: str | os.PathLike[str], mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is no file but a pipe or device", os.fspath(path))
