"""Clusters on loopback: in threads of one process, and as real processes."""

import json
import pathlib
import subprocess
import threading
import time

import tensorflow.compat.v1 as tf
import tiny_run
from warm_process import WarmProcess

from AEROBI.cluster.chief import SharedSteps  # noqa: F401  (imports all that threads need)
from AEROBI.cluster.description import Cluster
from AEROBI.cluster.graph import build_graph, device_of, initialize_shared
from AEROBI.cluster.sessions import opened, start_server
from AEROBI.cluster.subprocesses import free_addresses
from AEROBI.cluster.worker_step import SharedState, WorkerStep

STARTED = 240  # seconds; a start takes three on an idle machine


def members(workers: int, sync: bool = True, ps: int = 1) -> list[Cluster]:
    """The values of all processes, parameter servers first."""
    addresses = tuple(free_addresses(ps + workers))
    hosts = addresses[:ps], addresses[ps:]
    return [Cluster(*hosts, job, index, sync, workers, 60.0)
            for job, count in (("ps", ps), ("worker", workers)) for index in range(count)]


class Threads:
    """The child steps of a cluster whose workers are threads; results by worker."""

    def __init__(self, config, splits, arcs, sync: bool = True, ps: int = 1):
        self.config, self.splits, self.arcs, self.sync = config, splits, arcs, sync
        self.ps = ps
        self.results, self.weights, self.steps = {}, {}, None

    def run(self, workers: int) -> "Threads":
        """Every worker makes its part of a step for each of the architectures."""
        everybody = members(workers, self.sync, self.ps)
        servers = [start_server(cluster) for cluster in everybody]
        self.everybody_is_done, self.begun = threading.Barrier(workers), threading.Event()
        threads = [threading.Thread(target=self._work, args=(cluster, server), daemon=True)
                   for cluster, server in zip(everybody, servers) if cluster.job == "worker"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
            assert not thread.is_alive()
        return self

    def _work(self, cluster: Cluster, server) -> None:
        with tf.Graph().as_default(), tf.device(device_of(cluster)):
            child, shared, streams = build_graph(self.config, cluster, self.splits)
            look, part = SharedState(shared, child.optimizer), WorkerStep(
                self.config, cluster, child, streams.train)
            logged = shared.logged.read_value()
            values = {v.op.name: v for v in tf.global_variables()}
            start = tf.group(tf.global_variables_initializer(), initialize_shared(shared),
                             shared.generation.initializer)
            scaffold = tf.train.Scaffold(init_op=start)
            if not cluster.is_chief:
                assert self.begun.wait(120)
            with opened(server, cluster, scaffold, child.optimizer) as session:
                look.open(session)
                part.open(session)
                self.begun.set()
                for step, arc in enumerate(self.arcs):
                    assert not self.sync or look()["step"] == step
                    result = part.step(step, arc)
                    if self.sync and cluster.is_chief:
                        result = tuple(session.run(logged)[:3])
                    self.results.setdefault(cluster.index, []).append(result)
                self.everybody_is_done.wait(120)
                if cluster.is_chief:
                    self.weights = session.run(values)
                    self.steps = look()["worker_steps"]
                self.everybody_is_done.wait(120)


class Processes:
    """A cluster of real processes: `python -m AEROBI.main` with TF_CONFIG."""

    def __init__(self, flags: dict, workers: int, logs: pathlib.Path):
        """`logs` is where their output goes."""
        addresses = free_addresses(1 + workers)
        self.flags, self._logs, self.running = flags, logs, {}
        self._cluster = {"ps": addresses[:1], "chief": addresses[1:2], "worker": addresses[2:]}
        self.names = ["ps", "chief", *(f"worker{i}" for i in range(workers - 1))]

    def start(self, *names: str) -> None:
        """Starts, or starts again, those of these names: ps, chief, worker0, ..."""
        for name in names:
            job, index = (name, 0) if name in ("ps", "chief") else ("worker", int(name[6:]))
            config = {"cluster": self._cluster, "task": {"type": job, "index": index}}
            self.running[name] = WarmProcess(
                "AEROBI.main", tiny_run.words(self.flags), {
                    **tiny_run.environment(), "TF_CONFIG": json.dumps(config),
                    "OMP_NUM_THREADS": "1"}, log=self.log(name))

    def log(self, name: str) -> pathlib.Path:
        return self._logs / f"{name}.log"

    def output(self, name: str) -> str:
        return self.log(name).read_text()

    def wait_for(self, name: str, text: str, times: int = 1) -> None:
        """Until the output of a process has a text so often."""
        deadline = time.monotonic() + STARTED
        while not self.log(name).exists() or self.output(name).count(text) < times:
            assert time.monotonic() < deadline, (text, self.output(name))
            time.sleep(0.02)

    def end(self, name: str) -> int:
        """Its exit status, once it has ended."""
        try:
            return self.running[name].wait(STARTED)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{name} goes on: {self.output(name)}") from None

    def send(self, name: str, number: int) -> None:
        self.running[name].send_signal(number)

    def __enter__(self) -> "Processes":
        self.start(*self.names)
        return self

    def __exit__(self, *_) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()
