"""TF_CONFIG and flags → the value of a cluster; what cannot be one is refused."""

import json
import subprocess
import sys

import pytest
import tiny_run

from AEROBI.cluster.description import notes_alone, read_cluster
from AEROBI.config import ConfigError
from AEROBI.flags import table
from AEROBI.flags.resolve import check

NEEDED = ["--data_path=d", "--output_dir=o", "--controller_search_whole_channels"]
HOSTS = ["--ps_hosts=a:1", "--worker_hosts=b:2, c:3", "--job_name=worker"]
KUBEFLOW = {"cluster": {"chief": ["chief:2222"], "worker": ["w0:2222", "w1:2222"],
                        "ps": ["p0:2222", "p1:2222"]}, "environment": "cloud"}


def cluster_of(*words: str, task: dict | None = None, cluster: dict | None = None):
    """What the words and a TF_CONFIG with this task describe."""
    values = table.parse([*NEEDED, *words])
    check(values)  # nothing that it refuses
    record = {} if task is None else {"TF_CONFIG": json.dumps({**(cluster or KUBEFLOW),
                                                               "task": task})}
    return read_cluster(values, record)


def test_one_process_is_the_default():
    assert cluster_of() is None
    assert read_cluster(table.parse(NEEDED), {"TF_CONFIG": " "}) is None
    alone = {"cluster": {"chief": ["host:2222"]}}
    assert cluster_of(task={"type": "chief", "index": 0}, cluster=alone) is None


@pytest.mark.parametrize("task, job, index, chief", [
    ({"type": "chief", "index": 0}, "worker", 0, True),
    ({"type": "worker", "index": 0}, "worker", 1, False),
    ({"type": "worker", "index": "1"}, "worker", 2, False),  # Kubeflow once wrote strings
    ({"type": "ps", "index": 1}, "ps", 1, False)])
def test_kubeflow(task, job, index, chief):
    cluster = cluster_of("--child_sync_replicas", task=task)
    assert (cluster.job, cluster.index, cluster.is_chief) == (job, index, chief)
    assert cluster.hosts == {"ps": ["p0:2222", "p1:2222"],
                             "worker": ["chief:2222", "w0:2222", "w1:2222"]}
    assert (cluster.sync, cluster.aggregate) == (True, 3)


def test_without_a_chief_the_first_worker_is_it():
    hosts = {"cluster": {"worker": ["w0:1", "w1:1"], "ps": ["p:1"]}}
    assert cluster_of(task={"type": "worker", "index": 0}, cluster=hosts).is_chief
    assert cluster_of(task={"type": "worker", "index": 1}, cluster=hosts).index == 1


def test_flags_win():
    cluster = cluster_of(*HOSTS, "--task_index=1", task={"type": "ps", "index": 0})
    assert (cluster.ps, cluster.workers) == (("a:1",), ("b:2", "c:3"))
    assert (cluster.job, cluster.index, cluster.sync) == ("worker", 1, False)
    assert cluster.address("worker", 1) == "worker 1 (c:3)"


def test_one_process_is_its_own_replica():
    """As with the published code, whose flag needs no cluster; it is said, not refused."""
    values = table.parse([*NEEDED, "--child_sync_replicas"])
    assert read_cluster(values, {}) is None
    assert notes_alone(values)[0].startswith("--child_sync_replicas: one process")
    assert notes_alone(table.parse(NEEDED)) == []


def test_replicas_that_fit():
    cluster = cluster_of(*HOSTS, "--task_index=0", "--child_num_replicas=2",
                         "--controller_num_replicas=2", "--child_sync_replicas",
                         "--child_num_aggregate=1")
    assert cluster.aggregate == 1


@pytest.mark.parametrize("words, part", [
    (["--child_num_replicas=4"], "--child_num_replicas=4"),
    (["--controller_num_replicas=2"], "--controller_num_replicas=2"),
    (["--child_num_aggregate=2"], "--child_num_aggregate"),
    (["--ps_hosts=a:1"], "--worker_hosts"),
    (HOSTS, "--task_index"),
    ([*HOSTS, "--task_index=2"], "no worker 2, only 0 to 1"),
    ([*HOSTS, "--task_index=0", "--ps_hosts=a"], "'a' is no address"),
    ([*HOSTS, "--task_index=0", "--ps_hosts=a:99999"], "'a:99999'"),
    ([*HOSTS, "--task_index=0", "--ps_hosts=a\0b:1"], "is no address"),
    ([*HOSTS, "--task_index=0", "--ps_hosts=\x1b[2J:1"], "is no address"),
    ([*HOSTS, "--task_index=0", "--ps_hosts=a:٣"], "is no address"),
    ([*HOSTS, "--task_index=0", "--ps_hosts=b:2"], "twice"),
    ([*HOSTS, "--task_index=0", "--child_num_replicas=4"], "2 workers"),
    ([*HOSTS, "--task_index=0", "--controller_num_replicas=3"], "--controller_num_replicas=3"),
    ([*HOSTS, "--task_index=0", "--child_num_aggregate=2"], "--child_sync_replicas"),
    ([*HOSTS, "--task_index=0", "--child_sync_replicas", "--child_num_aggregate=3"], "2 workers"),
    ([*HOSTS, "--task_index=0", "--reset_output_dir"], "--noreset_output_dir"),
    ([*HOSTS, "--task_index=0", "--reference_quirks=all"], "random_eval")])
def test_flags_that_do_not_fit(words, part):
    with pytest.raises(ConfigError, match=part):
        cluster_of(*words)


@pytest.mark.parametrize("text, part", [
    ("{", "TF_CONFIG"), ("[1]", "TF_CONFIG"), ('{"cluster": {"worker": "w:1"}}', "list"),
    ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker"}}', "parameter servers"),
    ('{"cluster": {"ps": ["a:1"], "chief": ["b:1", "c:1"]}}', "more than one chief"),
    ('{"cluster": {"ps": ["a:1"], "chief": ["b:1"], "gpu": ["c:1"]}}', "gpu"),
    ('{"cluster": {"ps": ["a:1"], "chief": ["b:1"]}, "task": {"type": "evaluator"}}',
     "evaluator")])
def test_a_tf_config_that_is_none(text, part):
    with pytest.raises(ConfigError, match=part):
        read_cluster(table.parse(NEEDED), {"TF_CONFIG": text})


def test_a_wrong_cluster_is_one_line_and_no_tensorflow():
    script = ("import sys\nfrom AEROBI import main\nstatus = main.main(sys.argv[1:])\n"
              "assert 'tensorflow' not in sys.modules\nsys.exit(status)\n")
    result = subprocess.run(
        [sys.executable, "-c", script, *NEEDED, "--child_num_replicas=4"], text=True,
        capture_output=True, env=tiny_run.environment(), check=False)
    assert result.returncode == 2 and result.stdout.startswith("Error: --child_num_replicas=4")
    assert "Traceback" not in result.stderr
