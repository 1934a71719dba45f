"""The lock of an open file, which ends with the process that holds it, however that ends."""

import enum
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


class Lock(enum.Enum):
    """What came of asking for a lock."""

    HELD = "held"  # it is this process's until the file is closed
    BUSY = "busy"  # another process has it
    NONE = "none"  # this system, or the file system, has no locks


def lock_file(file: IO | int, wait: bool = False, shared: bool = False) -> Lock:
    """Asks for the lock of an open file or descriptor.

    Not `lockf`: closing any other descriptor of the same file would end that kind of lock.

    Args:
        file: a child process that inherits its descriptor holds the lock as well.
        wait: until the lock is free, instead of BUSY.
        shared: with others who ask for a shared one; enough to see whether somebody holds it.
    """
    if fcntl is None:
        return Lock.NONE
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(file, kind if wait else kind | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return Lock.BUSY
    except OSError:
        return Lock.NONE
    return Lock.HELD
