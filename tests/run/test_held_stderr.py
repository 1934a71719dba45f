"""What libraries write on file descriptor 2: held back, and shown where a command fails."""

import fcntl
import os
import signal
import subprocess
import sys

import pytest
import tiny_run

from AEROBI.run.held_stderr import HEADING

NATIVE = "os.write(2, b'native\\n'); "
SHOWN = HEADING.decode() + "native\n"


def run(code: str, **options) -> subprocess.CompletedProcess:
    """A process that runs `code` as the body of a command."""
    source = ("import os, sys, signal\nfrom AEROBI.run.held_stderr import run_quietly\n"
              f"def command():\n    {code}\nsys.exit(run_quietly(command))\n")
    return subprocess.run([sys.executable, "-c", source], text=True, timeout=60, check=False,
                          capture_output=True, env=tiny_run.environment(), **options)


@pytest.mark.parametrize("status, shown", [(0, ""), (1, ""), (2, SHOWN), (130, ""), (143, "")])
def test_only_a_failure_shows_what_was_held(status, shown):
    done = run(f"{NATIVE}print('ours', file=sys.stderr); return {status}")
    assert (done.returncode, done.stderr) == (status, "ours\n" + shown)


@pytest.mark.parametrize("status, shown", [(0, ""), (143, ""), (75, SHOWN)])
def test_a_process_that_ends_at_once_shows_no_more(status, shown):
    """As a worker of a cluster ends, some thread of which waits for ever."""
    done = run("import threading, time; from AEROBI.run.held_stderr import ProcessEnd; "
               f"threading.Thread(target=time.sleep, args=[1000]).start(); {NATIVE}"
               f"print('out'); print('ours', file=sys.stderr); raise ProcessEnd({status})")
    assert (done.returncode, done.stdout, done.stderr) == (status, "out\n", "ours\n" + shown)


def test_an_exception_shows_it_above_the_traceback():
    done = run(f"{NATIVE}raise KeyError('fault')")
    assert done.returncode == 1
    assert done.stderr.startswith(SHOWN + "Traceback") and "KeyError: 'fault'" in done.stderr


@pytest.mark.parametrize("crash, number", [
    ("os.abort()", signal.SIGABRT), ("os.kill(os.getpid(), signal.SIGKILL)", signal.SIGKILL)])
def test_a_crash_shows_it(crash, number):
    done = run(NATIVE + crash)
    assert (done.returncode, done.stderr) == (-number, SHOWN)


def test_nothing_held_is_nothing_shown():
    assert run("sys.exit(2)").stderr == ""
    assert run("os.abort()").stderr == ""


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_closed_stream_is_no_fault(closed):
    done = run("print('out'); print('err', file=sys.stderr); return len(sys.stdin.read())",
               preexec_fn=lambda: os.close(closed), stdin=None if closed == 0 else
               subprocess.DEVNULL)
    assert done.returncode == 0
    assert done.stdout == ("" if closed == 1 else "out\n")
    assert done.stderr == ("" if closed == 2 else "err\n")


def test_the_watcher_keeps_no_lock(tmp_path):
    """A file that is locked before, and a process that is killed: the lock is free with it."""
    code = (f"{NATIVE}file = open({str(tmp_path / 'x')!r}, 'w'); "
            "import fcntl; fcntl.flock(file, fcntl.LOCK_EX); os.kill(os.getpid(), 9)")
    assert run(code).returncode == -signal.SIGKILL
    with open(tmp_path / "x") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("where", [
    "exec('os.kill(os.getpid(), signal.SIGINT)')",  # as on import, where dataclasses are made
    "os.kill(os.getpid(), signal.SIGINT)"])
@pytest.mark.parametrize("caught", [False, True])
def test_ctrl_c_ends_with_130_wherever_it_comes(tmp_path, where, caught):
    """And a second one, while what is half-written goes, changes nothing."""
    (tmp_path / "interrupted.py").write_text(f"""
import atexit, os, signal, sys
from AEROBI.run.held_stderr import run_quietly
def command():
    atexit.register(print, "end")
    try:
        {NATIVE}{where}
    except KeyboardInterrupt:
        os.kill(os.getpid(), signal.SIGINT)
        if {caught}:
            return 130
        raise
sys.exit(run_quietly(command))
""")
    done = subprocess.run(  # a module, for CPython remembers that of these alone
        [sys.executable, "-m", "interrupted"], cwd=tmp_path, env=tiny_run.environment(),
        text=True, timeout=60, check=False, capture_output=True)
    assert (done.returncode, done.stdout) == (130, "end\n")
    assert done.stderr == ("" if caught else "Stopped.\n")
