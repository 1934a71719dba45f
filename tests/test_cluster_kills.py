"""Real processes on loopback that are killed, or hang, in the middle of a run."""

import json
import signal

import pytest
import tiny_run
from local_cluster import Processes

from AEROBI.cluster_session import TRY_AGAIN

pytestmark = pytest.mark.long

STEPS = 3  # an epoch: 40 images, two workers with 8 each
EPOCHS = 40


@pytest.fixture(scope="module")
def flags(tmp_path_factory):
    """Of a final training that is averaged over two workers; `output_dir` is to be added."""
    root = tmp_path_factory.mktemp("cluster")
    return {**tiny_run.FINAL, "data_path": tiny_run.make_data(root / "set"),
            "cache_dir": root / "cache", "num_epochs": EPOCHS, "eval_every_epochs": 10,
            "child_sync_replicas": True, "checkpoint_secs": 0.2, "child_num_replicas": 2}


def records(run_dir, kind: str) -> list[dict]:
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    return [one for one in map(json.loads, lines) if one["kind"] == kind]


def kill(cluster: Processes, name: str) -> None:
    cluster.send(name, signal.SIGKILL)
    assert cluster.running[name].wait(60) == -signal.SIGKILL
    cluster.start(name)


def step_line(step: int) -> str:
    return f"ch_step={step} "


def test_a_run_goes_on_whoever_is_killed(flags, tmp_path):
    """A worker, then the parameter server, then the chief; the same commands start them again."""
    run_dir = tmp_path / "run"
    with Processes({**flags, "output_dir": run_dir}, 2, tmp_path) as cluster:
        cluster.wait_for("chief", step_line(4))  # the first of its epoch
        kill(cluster, "worker0")
        cluster.wait_for("worker0", "taking part", 2)
        assert cluster.said("chief").count("Resuming") == 0  # it only waited

        kill(cluster, "ps")
        cluster.wait_for("chief", "connection lost")
        cluster.wait_for("chief", "Resuming after")
        cluster.wait_for("worker0", "taking part", 3)

        kill(cluster, "chief")
        cluster.wait_for("chief", "Resuming after", 2)
        assert [cluster.end(name) for name in cluster.names] == [0, 0, 0]
        said = {name: cluster.said(name) for name in cluster.names}
    assert "Traceback" not in "".join(said.values())
    steps = records(run_dir, "child")
    assert [one["step"] for one in steps] == list(range(1, STEPS * EPOCHS + 1))
    by_epoch = [sum(one["images"] for one in steps[i:i + STEPS])
                for i in range(0, len(steps), STEPS)]
    # Every image once an epoch; whoever is killed may have pushed a gradient already.
    whole = by_epoch.count(tiny_run.SIZES.train)
    assert whole >= EPOCHS - 3, by_epoch
    assert [(one["split"], one["epoch"]) for one in records(run_dir, "evaluation")] == [
        (split, epoch) for epoch in range(10, EPOCHS + 1, 10) for split in ("val", "test")]
    assert json.loads((run_dir / "config.json").read_text())["configuration"][
        "child_num_replicas"] == 2


def test_a_worker_that_hangs_is_named_in_time(flags, tmp_path):
    """The chief ends with a checkpoint; the hanging one ended and all started, it goes on."""
    run = {**flags, "output_dir": tmp_path / "run", "cluster_timeout_secs": 8, "num_epochs": 20}
    with Processes(run, 2, tmp_path) as cluster:
        cluster.wait_for("chief", step_line(2))
        cluster.send("worker0", signal.SIGSTOP)
        assert cluster.end("chief") == TRY_AGAIN
        said = cluster.said("chief")
        assert "no answer for 8 seconds" in said and "worker 1 (127.0.0.1:" in said, said
        assert "Traceback" not in said

        cluster.flags["cluster_timeout_secs"] = 120
        kill(cluster, "worker0")
        cluster.start("chief")
        assert cluster.end("chief") == 0
        assert "Resuming after" in cluster.said("chief")


def test_a_stopped_cluster_writes_a_checkpoint(flags, tmp_path):
    """SIGTERM to everybody at once, as Kubernetes and SLURM do."""
    run = {**flags, "output_dir": tmp_path / "run", "checkpoint_secs": 1000, "num_epochs": 1000}
    with Processes(run, 2, tmp_path) as cluster:
        cluster.wait_for("chief", step_line(5))
        for name in cluster.names:
            cluster.send(name, signal.SIGTERM)
        assert cluster.end("chief") == 128 + signal.SIGTERM
        assert "checkpoint written" in cluster.said("chief")
        assert cluster.end("worker0") in (0, 128 + signal.SIGTERM)
        assert cluster.end("ps") in (0, 128 + signal.SIGTERM)
        assert not any("Traceback" in cluster.said(name) for name in cluster.names)


def test_without_a_parameter_server_a_worker_gives_up(flags, tmp_path):
    run = {**flags, "output_dir": tmp_path / "run", "cluster_timeout_secs": 3}
    cluster = Processes(run, 2, tmp_path)
    cluster.names = ["chief"]
    with cluster:
        assert cluster.end("chief") == TRY_AGAIN
        assert "no answer from all of the parameter servers" in cluster.said("chief")
        assert "Traceback" not in cluster.said("chief")
        assert not (tmp_path / "run").exists()
