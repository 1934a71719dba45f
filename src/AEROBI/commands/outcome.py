"""How every command ends: an exit status, and one line on stderr where it is not 0."""

import logging
import os
import signal
import sys
from collections.abc import Callable

from AEROBI.run.held_stderr import INTERRUPTED, READER_GONE, TERMINATED, leave_stdout
from AEROBI.run.raised_signals import raised_once

USAGE_ERROR = 2
_PACKAGE = __package__.partition(".")[0]


class UsageError(ValueError):
    """A command line that cannot be carried out; the message names the option and the way out."""


def finish(action: Callable[[], int | None], unwritten: str = "") -> int:
    """Runs what a command does; returns the exit status, 0 for None.

    An exception class of this package is a message to the user: it becomes the line `Error: ...`
    and status 2, and so does an error of the operating system. Ctrl-C is one line and 130. A kill
    (SIGTERM) unwinds like Ctrl-C, so that nothing half-written stays, and ends with 143. A reader
    of stdout that has seen enough (`| head`) ends it with 141. All else is a fault of the
    program, and goes on as the exception it is.

    Args:
        action: the command.
        unwritten: what Ctrl-C keeps from being there, for its line.
    """
    try:
        with (raised_once(signal.SIGTERM, lambda: SystemExit(TERMINATED)),
              raised_once(signal.SIGINT, KeyboardInterrupt)):
            return action() or 0
    except KeyboardInterrupt:
        # TensorFlow would tell of each operation of an unfinished graph that nobody used.
        logging.getLogger("tensorflow").disabled = True
        sys.stderr.write(f"Stopped{f'; {unwritten} was not written' if unwritten else ''}.\n")
        return INTERRUPTED
    except BrokenPipeError:  # what is left goes nowhere
        leave_stdout()
        return READER_GONE
    except Exception as error:
        if not _is_for_the_user(error):
            raise
        sys.stderr.write(f"Error: {_message(error)}\n")
        return USAGE_ERROR


def _is_for_the_user(error: Exception) -> bool:
    """Whether an exception tells of the input; a NUL in a path is Python's own ValueError."""
    return (isinstance(error, OSError) or type(error).__module__.split(".")[0] == _PACKAGE
            or (isinstance(error, ValueError) and "embedded null" in str(error)))


def _message(error: Exception) -> str:
    """One line; of the operating system, the file and the reason without its number."""
    if isinstance(error, OSError) and error.filename is not None:
        name = os.fsencode(error.filename) if not isinstance(error.filename, int) else b"stream"
        return f"{name.decode('utf-8', 'backslashreplace')}: {error.strerror or error}"
    if isinstance(error, OSError) and error.strerror:
        return f"output: {error.strerror}"
    if "embedded null" in str(error):
        return "a path holds a NUL character; name another one"
    return str(error)
