"""Sessions with servers of other processes, one of which hangs."""

import http.server
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest
import tensorflow.compat.v1 as tf
import tiny_run

from AEROBI.cluster.description import Cluster
from AEROBI.cluster.graph import device_of
from AEROBI.cluster.sessions import ClusterError, opened, start_server, wait_for_ps
from AEROBI.cluster.subprocesses import free_addresses
from AEROBI.training.stopping import StopRequest

HELPERS = pathlib.Path(__file__).parents[1] / "helpers"

SERVER = """
import sys
from local_cluster import Cluster, start_server
server = start_server(Cluster((sys.argv[1],), (sys.argv[2],), "ps", 0))
print("listening", flush=True)
server.join()
"""


def test_a_session_is_not_waited_for_without_end():
    """A parameter server that hangs just when the chief opens its sessions."""
    ps, worker = free_addresses(2)
    me = Cluster((ps,), (worker,), "worker", 0, timeout_secs=3)
    path = os.pathsep.join([str(HELPERS), tiny_run.environment()["PYTHONPATH"]])
    process = subprocess.Popen([sys.executable, "-c", SERVER, ps, worker],
                               env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE)
    try:
        assert process.stdout.readline() == b"listening\n"
        with tf.device(device_of(me)):
            tf.get_variable("v", [3])
            server = start_server(me)
            wait_for_ps(server, me, StopRequest())
            process.send_signal(signal.SIGSTOP)
            started = time.monotonic()
            with (pytest.raises(ClusterError, match=r"no answer .* for 3 seconds"),
                  opened(server, me, tf.train.Scaffold(), None)):
                raise AssertionError("it hangs")
        assert time.monotonic() - started < 10
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_a_server_of_another_kind_is_no_parameter_server():
    """It answers, but speaks HTTP."""
    worker, = free_addresses(1)
    with http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        me = Cluster((f"127.0.0.1:{web.server_port}",), (worker,), "worker", 0, timeout_secs=3)
        started = time.monotonic()
        with pytest.raises(ClusterError, match=r"no answer .* for 3 seconds"):
            wait_for_ps(start_server(me), me, StopRequest())
        assert time.monotonic() - started < 20
        web.shutdown()
