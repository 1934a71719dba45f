"""Real processes on loopback that are killed, or hang, in the middle of a run."""

import json
import re
import signal

import numpy as np
import pytest
import tiny_run
from local_cluster import Processes

from AEROBI.cluster.sessions import TRY_AGAIN

STEPS = 3  # an epoch: 40 images, two workers with 8 each
EPOCHS, EVERY = 8, 4


@pytest.fixture(scope="module")
def flags(tiny_data, tmp_path_factory):
    """Of a final training that is averaged over two workers; `output_dir` is to be added."""
    return {**tiny_run.SHALLOW_FINAL, "data_path": tiny_data,
            "cache_dir": tmp_path_factory.mktemp("cache"), "num_epochs": EPOCHS,
            "eval_every_epochs": EVERY, "child_sync_replicas": True, "checkpoint_secs": 0,
            "child_num_replicas": 2}


def records(run_dir, kind: str) -> list[dict]:
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def evaluations(run_dir) -> list[tuple[str, int]]:
    return [(record["split"], record["epoch"]) for record in records(run_dir, "evaluation")]


def kill(cluster: Processes, name: str) -> None:
    cluster.send(name, signal.SIGKILL)
    assert cluster.running[name].wait(60) == -signal.SIGKILL
    cluster.start(name)


def step_line(step: int) -> str:
    return f"ch_step={step} "


def evaluated(epochs: int) -> list[tuple[str, int]]:
    return [(split, epoch) for epoch in range(EVERY - 1, epochs, EVERY)  # from 0
            for split in ("val", "test")]


@pytest.mark.parametrize("victims", [
    ("worker0",), ("ps",), ("chief",),
    pytest.param(("worker0", "ps", "chief"), marks=pytest.mark.long)])
def test_a_run_goes_on_whoever_is_killed(flags, tmp_path, victims):
    """The same commands start them again, one after the other."""
    run_dir = tmp_path / "run"
    with Processes({**flags, "output_dir": run_dir}, 2, tmp_path) as cluster:
        cluster.wait_for("chief", step_line(STEPS + 1))  # the first of its epoch
        for number, victim in enumerate(victims):
            kill(cluster, victim)
            cluster.wait_for("worker0", "taking part", 2 + number)
        assert [cluster.end(name) for name in cluster.names] == [0, 0, 0]
        outputs = {name: cluster.output(name) for name in cluster.names}
    assert "Traceback" not in "".join(outputs.values())
    assert ("Resuming after" in outputs["chief"]) == (victims != ("worker0",))  # else it only waits
    assert ("connection lost" in outputs["chief"]) == ("ps" in victims)
    steps = records(run_dir, "child")
    assert [record["step"] for record in steps] == list(range(1, STEPS * EPOCHS + 1))
    by_epoch = [sum(record["images"] for record in steps[i:i + STEPS])
                for i in range(0, len(steps), STEPS)]
    # Every image once an epoch; whoever is killed may have pushed a gradient already.
    whole = by_epoch.count(tiny_run.SIZES.train)
    assert whole >= EPOCHS - len(victims), by_epoch
    assert evaluations(run_dir) == evaluated(EPOCHS)
    assert json.loads((run_dir / "config.json").read_text())["configuration"][
        "child_num_replicas"] == 2


@pytest.mark.long
def test_an_asynchronous_worker_makes_its_own_steps_after_a_kill(flags, tmp_path):
    """The chief waits at the end of an epoch until also the killed one has shown its images."""
    run_dir = tmp_path / "run"
    run = {**flags, "output_dir": run_dir, "child_sync_replicas": False}
    with Processes(run, 2, tmp_path) as cluster:
        cluster.wait_for("chief", step_line(STEPS + 1))
        kill(cluster, "worker0")
        assert [cluster.end(name) for name in cluster.names] == [0, 0, 0]
        outputs = {name: cluster.output(name) for name in cluster.names}
    assert "Traceback" not in "".join(outputs.values())
    assert "asynchronous" in outputs["chief"] and "Resuming" not in outputs["chief"]
    assert outputs["worker0"].count("taking part") == 2
    steps = int(re.search(r"took part in (\d+) steps", outputs["worker0"])[1])
    assert 0 < steps < STEPS * EPOCHS  # the others were those of the killed process
    newest = max((run_dir / "checkpoints").glob("checkpoint-*.json"),
                 key=lambda path: int(path.stem.partition("-")[2]))
    position = json.loads(newest.read_text())["position"]
    assert position["worker_steps"] == [STEPS * EPOCHS] * 2


@pytest.mark.long
def test_a_step_that_needs_fewer_gradients_waits_for_no_dead_worker(flags, tmp_path):
    """--child_num_aggregate=1 of 2 workers, one of which is killed and never comes back."""
    run = {**flags, "output_dir": tmp_path / "run", "child_num_aggregate": 1}
    with Processes(run, 2, tmp_path) as cluster:
        cluster.wait_for("worker0", "taking part")
        cluster.wait_for("chief", step_line(1))
        cluster.send("worker0", signal.SIGKILL)
        assert [cluster.end(name) for name in ("chief", "ps")] == [0, 0]
        output = cluster.output("chief")
    assert "the first 1 gradients of each step averaged" in output and "Traceback" not in output
    steps = records(tmp_path / "run", "child")
    numbers = [record["step"] for record in steps]
    # A step that the other worker made alone is not the chief's to log.
    assert numbers == sorted(set(numbers)) and numbers[-1] == STEPS * EPOCHS
    # Of 40 images in three steps, one worker's.
    assert all(6 <= record["images"] <= 7 for record in steps)
    assert evaluations(tmp_path / "run") == evaluated(EPOCHS)


@pytest.mark.long
def test_a_cluster_that_diverges_ends_and_goes_on_with_skip(flags, tmp_path):
    """1e30 is a learning rate that no gradient norm survives; nobody is left waiting."""
    run = {**flags, "output_dir": tmp_path / "run", "child_lr_max": 1e30, "num_epochs": 1,
           "eval_every_epochs": 1}
    with Processes(run, 2, tmp_path) as cluster:
        assert [cluster.end(name) for name in ("chief", "worker0", "ps")] == [2, 0, 0]
        error, = [line for line in cluster.output("chief").splitlines() if "Error: " in line]
        assert re.search(r"child step \d+: loss .* under architecture 3 5 1; first not "
                         r"finite: ", error), error
        kept = tiny_run.weights(tmp_path / "run")
        assert all(np.isfinite(value).all() for value in kept.values())

        cluster.flags["on_nan"] = "skip"
        cluster.start(*cluster.names)
        assert [cluster.end(name) for name in cluster.names] == [0, 0, 0]
        output = cluster.output("chief")
    assert "Resuming after" in output and "update left out" in output and "Traceback" not in output


def test_a_worker_that_hangs_is_named_in_time(flags, tmp_path):
    """The chief ends with a checkpoint; the hanging one ended and all started, it goes on."""
    run = {**flags, "output_dir": tmp_path / "run", "cluster_timeout_secs": 8}
    with Processes(run, 2, tmp_path) as cluster:
        cluster.wait_for("chief", step_line(2))
        cluster.send("worker0", signal.SIGSTOP)
        assert cluster.end("chief") == TRY_AGAIN
        output = cluster.output("chief")
        assert "no answer for 8 seconds" in output and "worker 1 (127.0.0.1:" in output, output
        assert "Traceback" not in output

        cluster.flags["cluster_timeout_secs"] = 120
        kill(cluster, "worker0")
        cluster.start("chief")
        assert cluster.end("chief") == 0
        assert "Resuming after" in cluster.output("chief")


@pytest.mark.long
def test_a_stopped_cluster_writes_a_checkpoint(flags, tmp_path):
    """SIGTERM to everybody at once, as Kubernetes and SLURM do."""
    run = {**flags, "output_dir": tmp_path / "run", "checkpoint_secs": 1000, "num_epochs": 1000}
    with Processes(run, 2, tmp_path) as cluster:
        cluster.wait_for("chief", step_line(5))
        for name in cluster.names:
            cluster.send(name, signal.SIGTERM)
        assert cluster.end("chief") == 128 + signal.SIGTERM
        assert "checkpoint written" in cluster.output("chief")
        assert cluster.end("worker0") in (0, 128 + signal.SIGTERM)
        assert cluster.end("ps") in (0, 128 + signal.SIGTERM)
        assert not any("Traceback" in cluster.output(name) for name in cluster.names)


def test_without_a_parameter_server_a_worker_gives_up(flags, tmp_path):
    run = {**flags, "output_dir": tmp_path / "run", "cluster_timeout_secs": 3}
    cluster = Processes(run, 2, tmp_path)
    cluster.names = ["chief"]
    with cluster:
        assert cluster.end("chief") == TRY_AGAIN
        assert "no answer from all of the parameter servers" in cluster.output("chief")
        assert "Traceback" not in cluster.output("chief")
        assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_a_parameter_server_that_hangs_is_noticed(flags, tmp_path):
    """In a step, and by whoever is started while it hangs."""
    run = {**flags, "output_dir": tmp_path / "run", "cluster_timeout_secs": 8}
    with Processes(run, 2, tmp_path) as cluster:
        cluster.wait_for("chief", step_line(2))
        cluster.send("ps", signal.SIGSTOP)
        assert cluster.end("chief") == cluster.end("worker0") == TRY_AGAIN
        assert "from the parameter servers: end it where it hangs" in cluster.output("chief")
        cluster.start("chief")
        assert cluster.end("chief") == TRY_AGAIN
        assert "no answer from all of the parameter servers" in cluster.output("chief")
        assert not any("Traceback" in cluster.output(name) for name in cluster.names)
