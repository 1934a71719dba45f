"""Work that several processes share through a folder: each piece is done by one of them.

A piece is claimed by a file of its own, made where there is none, and locked. The lock
ends with the process that holds it, however it ends, and the next one takes the piece over. No
piece is lost, and none is done twice at a time. The folder may be on a network, if its file system
has locks (NFS 4, Lustre with flock, CephFS do).
"""

import json
import os
import socket
from pathlib import Path
from types import TracebackType

from AEROBI.run.file_lock import Lock, lock_file

# The file is never removed, so that nobody locks a ghost; a link that lies there is refused.
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


class ClaimError(RuntimeError):
    """A folder in which nothing can be claimed; the message names it."""


class Claim:
    """A piece of work that is this process's; as a context it is given up at the end.

    A child process that is given the `descriptor` holds it as well, until it ends.
    """

    def __init__(self, path: Path, descriptor: int):
        """Holds the lock of `descriptor`; `claim` makes it."""
        self.path, self.descriptor = path, descriptor

    def __enter__(self) -> "Claim":
        """Nothing is done here: the piece is this process's already."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Gives the piece up, done or not."""
        self.release()

    def release(self) -> None:
        """Others may claim the piece, if it is not done."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def claim(path: Path, wait: bool = False) -> Claim | None:
    """The piece of work whose claim file is `path`; None where a living process has it.

    Args:
        path: of the claim file.
        wait: until that process gives it up, instead of None.

    Raises:
        ClaimError: the folder cannot be written, or its files cannot be locked.
    """
    try:
        descriptor = os.open(path, _FLAGS, 0o666)
    except OSError as error:
        raise ClaimError(f"{path}: cannot be claimed ({error.strerror or error}); use a folder "
                         "that can be written and whose file system has locks") from None
    lock = lock_file(descriptor, wait)
    if lock is not Lock.HELD:
        os.close(descriptor)
        if lock is Lock.BUSY:
            return None
        raise ClaimError(f"{path}: cannot be locked; use a folder whose file system has locks, or "
                         "start one process only, for one architecture, with --child_fixed_arc")
    who = {"host": socket.gethostname(), "pid": os.getpid()}
    os.ftruncate(descriptor, 0)
    os.write(descriptor, (json.dumps(who) + "\n").encode())
    return Claim(path, descriptor)
