"""A signal that ends a command by an exception, even where Python throws that away.

The handler of a signal runs wherever the main thread is. In a destructor (`__del__`) Python tells
of an exception on stderr and goes on: the command would be carried out as if nobody had asked. And
a context of somebody else's, left halfway through its own end, may raise an error in its place, and
native code print one.
"""

import contextlib
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

_AGAIN_SECS = 0.01


@contextlib.contextmanager
def raised_once(number: int, end: Callable[[], BaseException]) -> Iterator[None]:
    """Within the block the first signal of that number raises `end()`, and the next are ignored.

    Impatience must not stop the removal of what is half-written, nor change the exit status. In
    other threads than the main one nothing changes, nor where the signal is ignored, as Ctrl-C is
    in a background job.
    """
    if (threading.current_thread() is not threading.main_thread()
            or signal.getsignal(number) is signal.SIG_IGN):
        yield
        return
    thrown: list[BaseException] = []
    usual, printed = sys.unraisablehook, sys.excepthook

    def throw(*_: object) -> None:
        signal.signal(number, signal.SIG_IGN)
        thrown.append(end())
        raise thrown[-1]

    def thrown_away(unraisable) -> None:
        if not any(unraisable.exc_value is exception for exception in thrown):
            usual(unraisable)
        elif hasattr(signal, "setitimer"):
            signal.signal(signal.SIGALRM, throw)
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECS)

    def print_error(*error: Any) -> None:
        if not thrown:
            printed(*error)

    before = signal.signal(number, throw)
    alarm = signal.getsignal(signal.SIGALRM) if hasattr(signal, "setitimer") else None
    sys.unraisablehook, sys.excepthook = thrown_away, print_error
    try:
        yield
    except BaseException as error:
        if thrown and error is not thrown[-1]:
            raise thrown[-1] from None
        raise
    finally:
        if hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, alarm)
        sys.unraisablehook, sys.excepthook = usual, printed
        signal.signal(number, before)
