"""Which processes make up a run, and which of them this one is; no TensorFlow.

A cluster is described by the environment variable TF_CONFIG, as Kubeflow, SLURM wrappers and
cloud trainers set it, or by the flags --ps_hosts, --worker_hosts, --job_name and --task_index,
which win. Worker 0 is the chief: a "chief" (or "master") of TF_CONFIG comes before its workers.
Without either a run is one process.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from AEROBI.config import ConfigError

PS, WORKER = "ps", "worker"
_CHIEFS = ("chief", "master")
_ADDRESS = re.compile(r"([A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\]):[0-9]{1,5}")
_EXAMPLE = '{"cluster": {"chief": ["a:2222"], "worker": ["b:2222"], "ps": ["a:2223"]}, ' \
           '"task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True)
class Cluster:
    """The processes of a run, and how the workers' gradients come together.

    Attributes:
        ps: addresses "host:port" of the parameter servers.
        workers: of the workers; the first one is the chief.
        job: "ps" or "worker", what this process is.
        index: which one of those.
        sync: the workers' gradients are averaged into one update; else each is an update.
        aggregate: how many gradients an update averages, at most one for each worker.
        timeout_secs: how long others may be waited for.
    """

    ps: tuple[str, ...]
    workers: tuple[str, ...]
    job: str
    index: int
    sync: bool = True
    aggregate: int = 1
    timeout_secs: float = 600.0

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the log, the events and the checkpoints."""
        return self.job == WORKER and self.index == 0

    @property
    def hosts(self) -> dict[str, list[str]]:
        """Job → addresses of its processes, in the form that tf.train.ClusterSpec takes."""
        return {PS: list(self.ps), WORKER: list(self.workers)}

    def address(self, job: str, index: int) -> str:
        """A process as messages name it: "worker 1 (host:port)"."""
        return f"{job} {index} ({self.hosts[job][index]})"


def read_cluster(values: Mapping[str, Any], environment: Mapping[str, str]) -> Cluster | None:
    """The cluster that flags or TF_CONFIG describe; None where a run is one process.

    Args:
        values: by flag name.
        environment: the environment variables.

    Raises:
        ConfigError: no such cluster can be, or the flags do not fit it.
    """
    named = _from_flags(values)
    if named is None:
        named = _from_tf_config(environment.get("TF_CONFIG", ""))
    if named is None:
        _check_alone(values)
        return None
    source, hosts, job, index = named
    ps, workers = hosts
    _check_hosts(source, ps, workers)
    members = ps if job == PS else workers
    if not 0 <= index < len(members):
        raise ConfigError(f"{source}: there is no {job} {index}, only 0 to {len(members) - 1}")
    _check_fits(values, len(workers))
    aggregate = values["child_num_aggregate"] or len(workers)
    return Cluster(tuple(ps), tuple(workers), job, index, values["child_sync_replicas"],
                   aggregate, values["cluster_timeout_secs"])


def _from_flags(values: Mapping[str, Any]) -> tuple | None:
    names = ("ps_hosts", "worker_hosts", "job_name", "task_index")
    given = [name for name in names if values[name] not in (None, "")]
    if not given:
        return None
    if len(given) < len(names):
        missing = next(name for name in names if name not in given)
        raise ConfigError(f"--{given[0]} needs --{missing}: a cluster is described by "
                          f"{', '.join('--' + name for name in names)}, or by TF_CONFIG")
    hosts = tuple([host.strip() for host in values[name].split(",") if host.strip()]
                  for name in names[:2])
    return "--ps_hosts, --worker_hosts", hosts, values["job_name"], values["task_index"]


def _from_tf_config(text: str) -> tuple | None:
    if not text.strip():
        return None
    try:
        record = json.loads(text)
        cluster, task = dict(record.get("cluster") or {}), dict(record.get("task") or {})
        ps, workers = [_addresses(cluster.pop(name, [])) for name in (PS, WORKER)]
        chiefs = [address for name in _CHIEFS for address in _addresses(cluster.pop(name, []))]
        cluster.pop("evaluator", None)  # the chief evaluates
        job, index = str(task.get("type", _CHIEFS[0])), int(task.get("index", 0))
    except (AttributeError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ConfigError(f"TF_CONFIG: is no description of a cluster ({error}); it looks like "
                          f"{_EXAMPLE}") from None
    if not ps and len(workers) + len(chiefs) <= 1:
        return None  # how cloud trainers describe one machine
    if cluster:
        raise ConfigError(f"TF_CONFIG: {', '.join(sorted(cluster))}: there are only chief, worker "
                          "and ps")
    if len(chiefs) > 1:
        raise ConfigError("TF_CONFIG: names more than one chief")
    if job not in (PS, WORKER, *_CHIEFS):
        raise ConfigError(f"TF_CONFIG: a task of type {job!r} has nothing to do here: the chief "
                          "evaluates; leave it out")
    if job == WORKER:
        index += len(chiefs)
    return "TF_CONFIG", (ps, chiefs + workers), PS if job == PS else WORKER, index


def _addresses(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise ValueError("addresses are not in a list")
    return [str(address) for address in value]


def _check_hosts(source: str, ps: Sequence[str], workers: Sequence[str]) -> None:
    for address in (*ps, *workers):
        if not _ADDRESS.fullmatch(address) or not 0 < int(address.rpartition(":")[2]) < 65536:
            raise ConfigError(f"{source}: {address!r} is no address, write host:port")
    if len({*ps, *workers}) < len(ps) + len(workers):
        raise ConfigError(f"{source}: names an address twice")
    if not ps or not workers:
        raise ConfigError(f"{source}: {len(ps)} parameter servers (ps) and {len(workers)} workers; "
                          "at least one of each is needed")


def _check_alone(values: Mapping[str, Any]) -> None:
    """Flags that mean nothing in one process."""
    for name in ("child_num_replicas", "controller_num_replicas"):
        if values[name] != 1:
            raise ConfigError(
                f"--{name}={values[name]}: needs a cluster of as many workers, which TF_CONFIG or "
                "--worker_hosts describes; scripts/cluster/launch_local_cluster.sh starts one")
    if values["child_num_aggregate"]:
        raise ConfigError("--child_num_aggregate: needs a cluster, which TF_CONFIG or "
                          "--worker_hosts describes; "
                          "scripts/cluster/launch_local_cluster.sh starts one")


def notes_alone(values: Mapping[str, Any]) -> list[str]:
    """A sentence for each flag that a single process accepts, as the published code does."""
    if not values["child_sync_replicas"]:
        return []
    return ["--child_sync_replicas: one process is its own replica, there is nothing to average"]


def _check_fits(values: Mapping[str, Any], workers: int) -> None:
    for name in ("child_num_replicas", "controller_num_replicas"):
        if values[name] not in (1, workers):
            raise ConfigError(f"--{name}={values[name]}: the cluster has {workers} workers; give "
                              "their number, or leave the flag out")
    aggregate = values["child_num_aggregate"]
    if aggregate is not None and not values["child_sync_replicas"]:
        raise ConfigError("--child_num_aggregate: only --child_sync_replicas averages gradients")
    if aggregate is not None and aggregate > workers:
        raise ConfigError(f"--child_num_aggregate={aggregate}: more than the cluster's {workers} "
                          "workers")
    if values["reset_output_dir"]:
        raise ConfigError("--reset_output_dir: a chief that is started again by the same command "
                          "would begin anew; add --noreset_output_dir, and remove an old run "
                          "yourself")
    if "random_eval" in values["reference_quirks"] or values["reference_quirks"].strip() == "all":
        raise ConfigError("--reference_quirks: random_eval is for one process only")
