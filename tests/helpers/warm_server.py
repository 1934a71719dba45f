"""The server of `warm_process`: `warm_server.py SOCKET` imports, then forks what is asked for."""
# ruff: noqa: E402

import contextlib
import gc
import json
import os
import runpy
import select
import signal
import socket
import sys

sys.modules["keras"] = None  # which TensorFlow imports, and nothing here uses: a third of its start

import AEROBI

# isort: split
import matplotlib.pyplot  # noqa: F401  (what a run imports when it first draws)
import networkx  # noqa: F401

import AEROBI.cluster.entry
import AEROBI.experiment
import AEROBI.selection.halving
import AEROBI.selection.select
import AEROBI.trained.evaluation
import AEROBI.trained.export  # noqa: F401
from AEROBI.architecture import Architecture
from AEROBI.drawing.dag import small_png


def warm_up() -> None:
    """What the first picture of a process takes, once for all of them.

    No graph: it has a thread, and a fork leaves threads behind, with the locks that they hold. What
    is there by now is no business of anybody's garbage collector.
    """
    small_png(Architecture.parse("3 5 1"), "")
    gc.collect()
    gc.freeze()


def serve(control: socket.socket) -> str:
    """Starts a process for each request; returns in each of them, the name of its module.

    A request is 4 bytes, the length of the JSON that follows; with them come the descriptors for
    exit status, stdout and stderr. The answer is 4 bytes, the number of the process.
    """
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    status_of = {}
    while True:
        ready, _, _ = select.select([control, woken], [], [])
        if woken in ready:
            woken.recv(4096)
            _tell_ends(status_of)
        if control in ready:
            head, descriptors, _, _ = socket.recv_fds(control, 4, 3)
            if not head:  # pytest has ended
                os._exit(0)
            request = json.loads(control.recv(int.from_bytes(head, "big"), socket.MSG_WAITALL))
            process = os.fork()
            if process == 0:
                signal.set_wakeup_fd(-1)
                for opened in (control, woken, wake):
                    opened.close()
                for status in (*status_of.values(), descriptors[0]):
                    os.close(status)
                return _become(request, descriptors[1:])
            status_of[process] = descriptors[0]
            for descriptor in descriptors[1:]:
                os.close(descriptor)
            control.sendall(process.to_bytes(4, "big"))


def _tell_ends(status_of: dict[int, int]) -> None:
    """Writes the exit status of each process that has ended to who started it."""
    while status_of:
        process, status = os.waitpid(-1, os.WNOHANG)
        if not process:
            return
        with contextlib.suppress(BrokenPipeError):  # nobody waits for it any more
            os.write(status_of[process], b"%d" % os.waitstatus_to_exitcode(status))
        os.close(status_of.pop(process))


def _become(request: dict, descriptors: list[int]) -> str:
    """Makes this process what a shell would have started."""
    for number, descriptor in enumerate(descriptors, 1):
        os.dup2(descriptor, number)
    for descriptor in descriptors:
        os.close(descriptor)
    if request["session"]:
        os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.path[0] = request["cwd"]
    sys.argv = [request["module"], *request["args"]]
    sys.modules.pop(request["module"], None)  # it is run once more, by another name
    return request["module"]


if __name__ == "__main__":
    warm_up()
    runpy.run_module(serve(socket.socket(fileno=int(sys.argv[1]))), run_name="__main__",
                     alter_sys=True)
