"""Signals that end a command: once, and wherever the main thread is."""

import signal
import sys
import threading
import time

import pytest

from AEROBI.run.raised_signals import raised_once


class Signalled:
    """An object in whose end a signal comes."""

    def __del__(self):
        signal.raise_signal(signal.SIGUSR1)
        time.sleep(0)  # here its handler runs


@pytest.fixture(autouse=True)
def handler():
    before = signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGUSR1, before)


def end() -> SystemExit:
    return SystemExit(143)


def test_the_first_one_raises_and_those_after_it_do_not():
    with pytest.raises(SystemExit), raised_once(signal.SIGUSR1, end):
        try:
            signal.raise_signal(signal.SIGUSR1)
        finally:
            signal.raise_signal(signal.SIGUSR1)  # while it is unwound
            cleaned = True
    assert cleaned and signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_an_exception_that_a_destructor_threw_away_comes_again(capsys):
    with pytest.raises(SystemExit) as ended, raised_once(signal.SIGUSR1, end):
        for _ in range(3):
            Signalled()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            time.sleep(0.001)
    assert ended.value.code == 143 and capsys.readouterr().err == ""
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_an_error_on_the_way_out_is_not_what_ends_it(capsys):
    with pytest.raises(SystemExit) as ended, raised_once(signal.SIGUSR1, end):
        try:
            signal.raise_signal(signal.SIGUSR1)
        finally:
            sys.excepthook(SystemError, SystemError("exception set"), None)  # as native code does
            raise RuntimeError("this scope is not the innermost")
    assert ended.value.code == 143 and capsys.readouterr().err == ""


def test_without_a_signal_all_is_as_before():
    before = signal.getsignal(signal.SIGUSR1)
    with pytest.raises(ValueError), raised_once(signal.SIGUSR1, end):
        raise ValueError
    assert signal.getsignal(signal.SIGUSR1) is before


def test_other_threads_leave_signals_alone():
    found = []

    def look() -> None:
        with raised_once(signal.SIGUSR1, end):
            found.append(signal.getsignal(signal.SIGUSR1))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]
