"""Files and folders that are there as a whole, or as they were before.

What is being written has a random name beside its place and is made exclusively, so that a link
which somebody planted there is never followed. It goes where the writing fails or is interrupted;
only a kill that cannot be caught leaves it, and `is_temporary` knows it by its name.
"""

import contextlib
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

_TEMPORARY = re.compile(r"(.+)\.[0-9a-f]{16}\.tmp", re.DOTALL)
_LONGEST_NAME = 200  # bytes of a name that goes into a temporary one; systems take 255 in all
_NEW = (os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))


def replace_file(path: Path, content: bytes) -> None:
    """Writes `content` to `path`; raises OSError and leaves the old file where that fails."""
    replace_files({path: content})


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Writes several files; none is replaced before all are on the disk.

    Raises:
        OSError: a file cannot be written; no temporary file stays behind.
    """
    with contextlib.ExitStack() as stack:
        files = {path: stack.enter_context(_temporary_file(path)) for path in contents}
        for path, content in contents.items():
            files[path].write(content)
            _to_disk(files[path], path)
        for path, file in files.items():
            _rename(file, path)


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that becomes `path` after the block, unless the block raises.

    The block writes into it, or lets another program write under its name, `file.name`. A file
    that is replaced hands on its permissions.

    Raises:
        OSError: it cannot be written; what was at `path` is as it was.
    """
    with _temporary_file(path) as file:
        yield file
        _to_disk(file, path)
        _rename(file, path)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder that becomes `path` after the block, unless the block raises; then all of it goes.

    Raises:
        OSError: it cannot be made, or there is more than an empty folder at `path`.
    """
    temporary = _temporary_name(path)
    temporary.mkdir()
    try:
        yield temporary
        if path.is_dir():
            path.rmdir()
        temporary.rename(path)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)


def is_temporary(name: str, of: str | None = None) -> bool:
    """Whether a file of this name is what a killed writer left behind: of any file, or of one."""
    match = _TEMPORARY.fullmatch(name)
    return match is not None and of in (None, match[1])


def _temporary_name(path: Path) -> Path:
    name = os.fsencode(path.name)[:_LONGEST_NAME].decode("utf-8", "ignore")
    return path.with_name(f"{name}.{secrets.token_hex(8)}.tmp")


@contextlib.contextmanager
def _temporary_file(path: Path) -> Iterator[BinaryIO]:
    """A new file beside `path`, which is gone after the block if nobody renamed it."""
    temporary = _temporary_name(path)
    try:
        with open(temporary, "w+b", opener=lambda name, _: os.open(name, _NEW, 0o666)) as file:
            yield file
    finally:
        temporary.unlink(missing_ok=True)


def _to_disk(file: BinaryIO, path: Path) -> None:
    """Waits for the disk itself: a rename may survive a power cut that the content does not."""
    file.flush()
    with contextlib.suppress(OSError):  # nothing to replace; or the file system has no modes
        os.chmod(file.name, stat.S_IMODE(path.stat().st_mode))
    os.fsync(file.fileno())


def _rename(file: BinaryIO, path: Path) -> None:
    # Windows renames no open file.
    file.close()
    os.replace(file.name, path)
