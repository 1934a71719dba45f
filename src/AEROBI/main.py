"""Entry point: flags → configuration → search or final training."""

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

if not __package__:  # called by its path, as the published scripts do
    import pathlib

    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from tqdm.contrib.logging import logging_redirect_tqdm

from AEROBI.cluster.description import PS, Cluster, notes_alone, read_cluster
from AEROBI.config import ConfigError, RunConfig
from AEROBI.cost import step_memory
from AEROBI.data_utils import DataError, DataSet, log_summary, read_data_set
from AEROBI.flags import table
from AEROBI.flags.resolve import check, resolve
from AEROBI.records import log_head

log = logging.getLogger("AEROBI.main")

USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what the flags in `argv` describe; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if {"--help", "-help", "-h"} & set(argv):
        sys.stdout.write(table.short_usage() + "\n")
        return 0
    if {"--helpfull", "-helpfull"} & set(argv):
        sys.stdout.write(table.usage() + "\n")
        return 0
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        values = check(table.parse(argv))
        cluster = read_cluster(values, os.environ)
        if values["xla"]:
            _compile_on_cpu(cluster)
        if cluster is not None and cluster.job == PS:
            return _serve(cluster)
        data_set = read_data_set(values["data_path"])
        with logging_redirect_tqdm():  # lines above a progress bar, not into it
            if cluster is not None:
                _join(values, data_set, cluster, table.ignored(argv))
            return _start(values, data_set, [*table.ignored(argv), *notes_alone(values)])
    except (ConfigError, DataError) as error:
        log.error("Error: %s", error)
        return USAGE_ERROR
    except KeyboardInterrupt:  # outside the training loop, or for the second time
        log.error("Stopped. Nothing was trained since the last checkpoint.")
        return 128 + signal.SIGINT


def _start(values: Mapping[str, Any], data_set: DataSet, notes: Sequence[str]) -> int:
    """Opens the run directory and runs. TensorFlow is imported here, after the cheap checks."""
    from AEROBI import experiment
    from AEROBI.run.checkpoints import CheckpointError
    from AEROBI.run.run_dir import RunDirectory, RunDirectoryError
    from AEROBI.training.not_finite import NonFiniteError

    config, record = _configure(values, data_set)
    try:
        with RunDirectory.open(config.output_dir, record, values["reset_output_dir"],
                               table.MAY_CHANGE, table.DEFAULTS) as run_dir:
            try:
                _log_head(values, record, notes)
                log_summary(data_set)
                return experiment.run(config, run_dir, data_set)
            except (CheckpointError, NonFiniteError, OSError) as error:  # also a disk that is full
                log.error("Error: %s", error)
                return USAGE_ERROR
    except RunDirectoryError as error:
        log.error("Error: %s", error)
        return USAGE_ERROR


def _log_head(values: Mapping[str, Any], record: Mapping[str, Any],
              notes: Sequence[str]) -> None:
    """What the log begins with: every flag, as it was resolved, and what else there is to say."""
    resolved = {name: record.get(name, value) for name, value in values.items()}
    for line in (*log_head.flag_lines(resolved), *notes):
        log.info("%s", line)


def _configure(values: Mapping[str, Any], data_set: DataSet) -> tuple[RunConfig, dict[str, Any]]:
    """The configuration of a run on this machine, and what its directory keeps of it.

    Raises:
        ConfigError: this machine cannot run it.
    """
    from AEROBI.image_ops import check_kernels
    from AEROBI.tf_setup import check_memory, resolve_data_format

    config = resolve(values, data_set.class_names, resolve_data_format("auto"))
    check_memory(step_memory(config.child, config.data))
    if config.child.precision != "float32":
        check_kernels(config.child.data_format, config.child.precision)
    return config, {**table.record(values), "data_format": config.child.data_format,
                    "class_names": list(data_set.class_names)}


def _compile_on_cpu(cluster: Cluster | None) -> None:
    """Lets a session that compiles do so for a CPU too; read when TensorFlow is first used."""
    if cluster is not None:
        raise ConfigError("--xla: the processes of a cluster compile nothing; leave it out")
    given = os.environ.get("TF_XLA_FLAGS", "")
    os.environ["TF_XLA_FLAGS"] = f"{given} --tf_xla_cpu_global_jit".strip()


def _quiet_cluster_runtime() -> None:
    """Of what a cluster's own runtime says: each call that ends with its session is a warning."""
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "1":  # what AEROBI sets
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"


def _serve(cluster: Cluster) -> int:
    """A parameter server: it needs neither data nor a folder."""
    _quiet_cluster_runtime()
    from AEROBI.cluster.sessions import TRY_AGAIN, ClusterError, serve

    try:
        return serve(cluster)
    except ClusterError as error:
        log.error("Error: %s", error)
        return TRY_AGAIN


def _join(values: Mapping[str, Any], data_set: DataSet, cluster: Cluster,
          notes: Sequence[str]) -> NoReturn:
    """A worker of a cluster; only its chief opens the run directory. Ends the process."""
    _quiet_cluster_runtime()
    from AEROBI.cluster import process
    from AEROBI.cluster.sessions import TRY_AGAIN, ClusterError
    from AEROBI.run.checkpoints import CheckpointError
    from AEROBI.run.run_dir import RunDirectory, RunDirectoryError
    from AEROBI.training.not_finite import NonFiniteError

    config, record = _configure(values, data_set)
    for name in ("child_num_replicas", "controller_num_replicas"):
        record[name] = len(cluster.workers)
    record["child_num_aggregate"] = cluster.aggregate if cluster.sync else None

    @contextlib.contextmanager
    def open_run() -> Iterator[RunDirectory]:
        with RunDirectory.open(config.output_dir, record, False, table.MAY_CHANGE,
                               table.DEFAULTS) as run_dir:
            _log_head(values, record, notes)
            yield run_dir

    try:
        status = process.run(config, cluster, data_set, open_run)
    except ClusterError as error:
        log.error("Error: %s", error)
        status = TRY_AGAIN
    except (CheckpointError, NonFiniteError, OSError, RunDirectoryError) as error:
        log.error("Error: %s", error)
        status = USAGE_ERROR
    logging.shutdown()
    # Threads of TensorFlow may still wait, for who hangs or at a queue that was closed. They would
    # keep the process from its usual end, or die in the middle of it and take the status along.
    os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
