"""Processes of the package that start with everything imported: `python -m MODULE`, by fork.

An import of TensorFlow takes as long as a tiny run. A server, one for each process of pytest,
imports it once, and becomes by `fork` whatever is asked for. What it starts are processes like
any others, with a number, signals, streams and an exit status of their own. How a process starts
from nothing is tested where `subprocess` is used.
"""

import contextlib
import functools
import json
import os
import pathlib
import select
import signal
import socket
import subprocess
import sys
import tempfile
from typing import BinaryIO

SERVER = pathlib.Path(__file__).with_name("warm_server.py")


class Written:
    """What a process wrote so far; unlike a pipe, nobody has to wait for it to be read."""

    def __init__(self, file: BinaryIO):
        self.file = file

    def read(self) -> str:
        size = os.fstat(self.file.fileno()).st_size
        return os.pread(self.file.fileno(), size, 0).decode()


class WarmProcess:
    """A started `python -m module args`, with what tests use of `subprocess.Popen`."""

    def __init__(self, module: str, args: list[str], env: dict[str, str],
                 log: pathlib.Path | None = None, merged: bool = True,
                 start_new_session: bool = False):
        """Starts it.

        Args:
            module, args: what `python -m` is given.
            env: its environment variables.
            log: to whose end its output goes; else to a file without a name.
            merged: stderr goes where stdout goes.
            start_new_session: as of `Popen`.
        """
        self.args, self.returncode = [module, *args], None
        out = open(log, "ab") if log else tempfile.TemporaryFile()  # noqa: SIM115
        files = [out, out if merged else tempfile.TemporaryFile()]  # noqa: SIM115
        self.stdout, self.stderr = map(Written, files)
        self._status, status = os.pipe()
        request = json.dumps({"module": module, "args": list(map(str, args)), "env": env,
                              "cwd": os.getcwd(), "session": start_new_session}).encode()
        server = _server(os.getpid())
        socket.send_fds(server, [len(request).to_bytes(4, "big")],
                        [status, *(file.fileno() for file in files)])
        server.sendall(request)
        os.close(status)
        self.pid = int.from_bytes(server.recv(4, socket.MSG_WAITALL), "big")

    def poll(self) -> int | None:
        """The exit status if it has ended; of one that a signal ended, minus its number."""
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self.returncode = int(os.read(self._status, 16))
            os.close(self._status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status, once it has ended.

        Raises:
            subprocess.TimeoutExpired: it goes on after so many seconds.
        """
        if self.returncode is None and not select.select([self._status], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.poll()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """What it wrote to stdout and to stderr (merged: twice the same), once it has ended."""
        self.wait(timeout)
        return self.stdout.read(), self.stderr.read()

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@functools.cache
def _server(_of_process: int) -> socket.socket:
    """The way to the server, which ends when this process does."""
    ours, theirs = socket.socketpair()
    with theirs:
        subprocess.Popen([sys.executable, str(SERVER), str(theirs.fileno())],
                         pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL,
                         env={**os.environ, "PYTHONPATH": _source()})
    return ours


def _source() -> str:
    return str(pathlib.Path(__file__).parents[2] / "src")
