"""What TensorFlow's own code writes on stderr: held back, and shown where the command fails.

Its libraries write lines about processors, kernels and missing GPUs to file descriptor 2 before
any logging is set up, one of them worded as a failure. While a command runs, the descriptor leads
into a file without a name; `sys.stderr`, which is where this package, its warnings and its
progress bars write, still leads to the console.
"""

import atexit
import contextlib
import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import BinaryIO, NoReturn

from AEROBI.run.raised_signals import raised_once
from AEROBI.run.without_keras import without_keras

STDERR = 2
UNWRITTEN = 2
READER_GONE = 128 + 13  # as after SIGPIPE
INTERRUPTED, TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
HEADING = b"What libraries wrote meanwhile:\n"
_MOST = 1 << 20  # bytes that are shown: the last ones
_OVER = b"."  # what the watcher reads where the command came to its own end


class ProcessEnd(SystemExit):
    """Ends the process with a status, without Python's own end, which waits for threads.

    For a command whose libraries have threads that wait for who no longer answers: they would
    keep the process, or die in the middle of its end and take the status along.
    """

    def __init__(self, status: int):
        super().__init__(status)
        self.status = status


def run_quietly(command: Callable[[], int]) -> int:
    """Runs a command, and returns its exit status; a `ProcessEnd` never returns.

    What was held back is shown after an exit status of 2 to 127 (1 and 128 + a signal were asked
    for), after an exception, and, where the system can fork, after a crash of the whole process.
    Ctrl-C ends the process with 130, and a second one while it unwinds changes nothing; SIGTERM
    ends it with 143.
    """
    try:
        with without_keras():
            status = _run_quietly(command)
            if status == INTERRUPTED:
                _end_interrupted()
            return status
    except ProcessEnd as end:
        _end(end.status)
    except SystemExit as end:
        if end.code != TERMINATED:
            raise
        _end(TERMINATED)  # in Python's stead: TensorFlow would tell of each unfinished graph
    except KeyboardInterrupt:  # before the command had begun, or after its end
        sys.stderr.write("Stopped.\n")
        _end_interrupted()


def _one_interrupt() -> contextlib.AbstractContextManager[None]:
    """Ctrl-C raises KeyboardInterrupt once, where it would have done so at all."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return contextlib.nullcontext()
    return raised_once(signal.SIGINT, KeyboardInterrupt)


def _end_interrupted() -> NoReturn:
    """Ends the process with 130 in Python's stead, which may choose otherwise.

    Where Ctrl-C came while text was executed (as dataclasses and named tuples are made, on
    import), CPython remembers that, and kills itself with SIGINT at its end although the
    exception was caught. Another Ctrl-C is ignored from here on.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    atexit._run_exitfuncs()
    _end(INTERRUPTED)


def _end(status: int) -> NoReturn:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # a console that went away
            stream.flush()
    os._exit(status)


def _run_quietly(command: Callable[[], int]) -> int:
    open_closed_streams()
    with tempfile.TemporaryFile() as held, _stderr_into(held) as console, _watched(held, console):
        failed = True
        try:
            with _one_interrupt():
                status = _written(command)
            failed = 2 <= status < 128
        except KeyboardInterrupt:
            failed = False
            raise
        except SystemExit as end:
            failed = isinstance(end.code, str) or 2 <= (end.code or 0) < 128
            raise
        finally:
            if failed:
                _show(held.fileno(), console)
    return status


def _written(command: Callable[[], int]) -> int:
    """Runs a command until all that it said is written, or cannot be; returns the exit status.

    Python writes what is left of stdout at its end, and if that fails says so in words of its own.
    """
    status, end = 0, None
    try:
        try:
            status = command()
        except SystemExit as exception:  # as after --help
            end = exception
        sys.stdout.flush()
    except BrokenPipeError:
        leave_stdout()
        return READER_GONE
    except OSError as error:
        if error.filename is not None:  # no stream's
            raise
        leave_stdout()
        if status < UNWRITTEN:  # else the command has told of it
            with contextlib.suppress(OSError):  # neither can stderr
                sys.stderr.write(f"Error: output: {error.strerror}\n")
        return max(status, UNWRITTEN)
    if end is not None:
        raise end
    return status


def leave_stdout() -> None:
    """What is left of stdout, and all that follows, goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def open_closed_streams() -> None:
    """A stream that the caller closed leads nowhere, and its number is no other file's."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w"))  # noqa: SIM115


@contextlib.contextmanager
def _stderr_into(held: BinaryIO) -> Iterator[int]:
    """Descriptor 2 is the file's, `sys.stderr` the console's, whose descriptor this gives."""
    console, python_stderr = os.dup(STDERR), sys.stderr
    python_stderr.flush()
    os.dup2(held.fileno(), STDERR)
    sys.stderr = open(console, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
    try:
        yield console
    finally:
        with contextlib.suppress(OSError):  # a console that went away
            sys.stderr.flush()
        sys.stderr = python_stderr
        os.dup2(console, STDERR)
        os.close(console)


def _show(held: int, console: int) -> None:
    """Copies what is in the file, at most the last `_MOST` bytes."""
    size = os.fstat(held).st_size
    content = os.pread(held, _MOST, max(0, size - _MOST))
    if content:
        with contextlib.suppress(OSError):
            os.write(console, HEADING + content)


@contextlib.contextmanager
def _watched(held: BinaryIO, console: int) -> Iterator[None]:
    """A process beside this one shows the file if the block is never left.

    A process that TensorFlow aborts, or the system kills, runs no line of Python any more.
    """
    if not hasattr(os, "fork"):
        yield
        return
    read_end, write_end = os.pipe()
    watcher = os.fork()
    if watcher == 0:
        _watch(read_end, held.fileno(), console)
    os.close(read_end)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the watcher was killed
            os.write(write_end, _OVER)
        os.close(write_end)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(watcher, 0)


def _watch(read_end: int, held: int, console: int) -> NoReturn:
    """What the watcher does; it keeps no file of the command open, for they may hold locks."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        for position, descriptor in enumerate((read_end, held, console)):
            os.dup2(descriptor, position)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        if os.read(0, 1) != _OVER:
            _show(1, 2)
    finally:
        os._exit(0)
