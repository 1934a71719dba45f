"""The launcher with real processes; the examples for SLURM and Kubernetes, without either."""

import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

import pytest
import tiny_run
from local_cluster import STARTED

from AEROBI.cluster.description import read_cluster
from AEROBI.cluster.subprocesses import free_addresses
from AEROBI.flags import table as flags
from AEROBI.flags.resolve import resolve

SCRIPTS = pathlib.Path(__file__).parents[2] / "scripts"
LAUNCHER = SCRIPTS / "cluster/launch_local_cluster.sh"


def launch(folder: pathlib.Path, flags: dict, workers: int) -> subprocess.Popen:
    # Three in a row are needed, and these are most likely free.
    port = int(free_addresses(1)[0].partition(":")[2]) // 2 + 5000
    return subprocess.Popen(
        [LAUNCHER, str(workers), sys.executable, "-m", "AEROBI.main", *tiny_run.words(flags)],
        env={**tiny_run.environment(), "LOGS": str(folder / "logs"), "PORT": str(port)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)


def pid_of(launcher: subprocess.Popen, job: str) -> int:
    """The launcher's child whose TF_CONFIG says that it is one of these."""
    for child in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            parent = (child / "stat").read_text().rpartition(")")[2].split()[1]
            environment = (child / "environ").read_bytes().decode()
        except OSError:
            continue
        if int(parent) == launcher.pid and f'"type": "{job}"' in environment:
            return int(child.name)
    raise AssertionError(f"no {job}")


@pytest.fixture
def run(tiny_data, tmp_path):
    return {**tiny_run.SHALLOW_FINAL, "data_path": tiny_data,
            "cache_dir": tmp_path / "cache", "output_dir": tmp_path / "run",
            "child_sync_replicas": True, "num_epochs": 12, "eval_every_epochs": 6}


def wait_for(path: pathlib.Path, text: str, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + STARTED
    while not (path.exists() and text in path.read_text()):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline, text
        time.sleep(0.02)


@pytest.mark.long
def test_the_launcher_starts_a_killed_worker_again(run, tmp_path):
    launcher = launch(tmp_path, run, 2)
    try:
        wait_for(tmp_path / "run" / "stdout", "ch_step=2 ", launcher)
        os.kill(pid_of(launcher, "worker"), signal.SIGKILL)
        output, _ = launcher.communicate(timeout=STARTED)
    finally:
        launcher.terminate()
    assert launcher.returncode == 0, output
    assert "worker-0 ended with status 137; starting it again" in output
    assert "ch_step=36 " in output and "Best validation exact match" in output
    assert (tmp_path / "logs" / "worker-0.log").read_text().count("taking part") == 2


@pytest.mark.long
def test_ctrl_c_on_the_launcher_is_a_checkpoint(run, tmp_path):
    launcher = launch(tmp_path, {**run, "num_epochs": 1000}, 2)
    wait_for(tmp_path / "run" / "stdout", "ch_step=2 ", launcher)
    os.kill(launcher.pid, signal.SIGINT)
    output, _ = launcher.communicate(timeout=STARTED)
    assert launcher.returncode == 128 + signal.SIGTERM, output
    assert "checkpoint written" in output and "Traceback" not in output


@pytest.mark.parametrize("words", [[], ["0", "x"], ["two", "x"], ["2"]])
def test_the_launcher_says_how_it_is_used(words):
    result = subprocess.run([LAUNCHER, *words], capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "usage:" in result.stderr


def test_a_wrong_flag_ends_the_launcher(run, tmp_path):
    launcher = launch(tmp_path, {**run, "batch_size": 0}, 2)
    output, _ = launcher.communicate(timeout=STARTED)
    assert launcher.returncode == 2 and "--batch_size=0" in output


def test_every_shell_file_parses():
    for path in (LAUNCHER, *(SCRIPTS / "cluster").glob("*.sbatch")):
        result = subprocess.run(["bash", "-n", path], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr


def test_the_slurm_file_gives_every_task_its_place(tmp_path):
    """A dry run: the job's own file, with stand-ins for the two commands of SLURM it calls."""
    tools = {
        "scontrol": "echo nid1; echo nid2; echo nid3",
        "srun": "while [[ $1 == --* ]]; do [[ $1 == --nodes=3 ]] && many=1; shift; done\n"
                'if [ -n "${many:-}" ]; then\n'
                '  for i in 0 1 2; do SLURM_PROCID=$i "$@"; done\nelse "$@"; fi'}
    for name, text in tools.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    configs = tmp_path / "configs"
    command = ["bash", "-c", f'echo "$TF_CONFIG" >> {shlex.quote(str(configs))}']
    subprocess.run(
        ["bash", SCRIPTS / "cluster" / "slurm.sbatch", *command], check=True, timeout=60,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}",
             "SLURM_JOB_NODELIST": "nid[1-3]", "SLURM_JOB_ID": "1"})
    wait = time.monotonic() + 30  # the parameter server's is in the background
    while len(configs.read_text().splitlines()) < 4 and time.monotonic() < wait:
        time.sleep(0.05)
    values = flags.parse(["--data_path=d", "--output_dir=o", "--controller_search_whole_channels",
                          "--child_sync_replicas"])
    clusters = [read_cluster(values, {"TF_CONFIG": line})
                for line in configs.read_text().splitlines()]
    assert sorted((cluster.job, cluster.index) for cluster in clusters) == [
        ("ps", 0), ("worker", 0), ("worker", 1), ("worker", 2)]
    assert {cluster.workers for cluster in clusters} == {("nid1:23451", "nid2:23451", "nid3:23451")}


def test_the_kubernetes_file_is_a_tfjob_that_runs():
    """What the operator demands of a TFJob, and its flags and TF_CONFIG as it would make them."""
    yaml = pytest.importorskip("yaml")
    job = yaml.safe_load((SCRIPTS / "cluster" / "tfjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "TFJob")
    assert set(job["spec"]) <= {"runPolicy", "tfReplicaSpecs", "successPolicy"}
    replicas = job["spec"]["tfReplicaSpecs"]
    assert set(replicas) <= {"PS", "Chief", "Worker", "Master", "Evaluator"}
    cluster = {kind.lower(): [f"{job['metadata']['name']}-{kind.lower()}-{i}.ns.svc:2222"
                              for i in range(spec["replicas"])]
               for kind, spec in replicas.items()}
    for kind, spec in replicas.items():
        assert spec["restartPolicy"] in ("Always", "OnFailure", "Never", "ExitCode")
        pod = spec["template"]["spec"]
        container, = pod["containers"]
        assert container["name"] == "tensorflow" and container["image"]
        assert container["ports"][0]["containerPort"] == 2222
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        values = flags.parse(container["args"])
        assert resolve(values, ["a"], "NHWC").controller.samples_per_update == 20
        record = {"cluster": cluster, "task": {"type": kind.lower(), "index": 0}}
        found = read_cluster(values, {"TF_CONFIG": json.dumps(record)})
        assert len(found.workers) == 4 and found.sync
