"""Ctrl-C and SIGTERM: finish what is being computed, then leave with a checkpoint."""

import contextlib
import signal
from collections.abc import Iterator


class Stopped(Exception):  # noqa: N818  (it is no error)
    """The run was asked to stop; `signal_number` says by which signal."""

    def __init__(self, signal_number: int):
        super().__init__(signal.Signals(signal_number).name)
        self.signal_number = signal_number


class StopRequest:
    """Whether somebody asked, and the exception for it."""

    def __init__(self) -> None:
        self.signal_number: int | None = None

    def raise_if_made(self) -> None:
        """Raises Stopped once a signal has come."""
        if self.signal_number is not None:
            raise Stopped(self.signal_number)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Within the block the first SIGINT or SIGTERM is noted; a second one has its usual effect."""
    request = StopRequest()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _: object) -> None:
        request.signal_number = number
        restore()

    for number in numbers:
        signal.signal(number, note)
    try:
        yield request
    finally:
        restore()
