"""Entry point: flags → configuration → search or final training."""

import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

if not __package__:  # called by its path, as the published scripts do
    import pathlib

    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from AEROBI.cluster.description import Cluster, notes_alone, read_cluster
from AEROBI.config import ConfigError
from AEROBI.data_utils import DataError, DataSet, log_summary, read_data_set
from AEROBI.flags import table
from AEROBI.flags.resolve import check
from AEROBI.run.console import ConsoleHandler
from AEROBI.run.held_stderr import run_quietly

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
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[ConsoleHandler(
        "the run goes on, and logs into the file stdout of its --output_dir")])
    try:
        values = check(table.parse(argv))
        cluster = read_cluster(values, os.environ)
        if cluster is not None and values["child_alone_epochs"]:
            raise ConfigError("--child_alone_epochs: one process trains one architecture after the "
                              "other; a cluster's workers share weights, as with --recipe=shared "
                              "or --recipe=published")
        if values["xla"]:
            _compile_on_cpu(cluster)
        if cluster is not None:
            return _take_part(values, cluster, table.ignored(argv))
        data_set = read_data_set(values["data_path"])
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

    config, record = experiment.configure(values, data_set)
    try:
        with RunDirectory.open(config.output_dir, record, values["reset_output_dir"],
                               table.MAY_CHANGE, table.DEFAULTS) as run_dir:
            try:
                experiment.log_head_of(values, record, notes)
                log_summary(data_set)
                return experiment.run(config, run_dir, data_set)
            except (CheckpointError, NonFiniteError, OSError) as error:  # also a disk that is full
                log.error("Error: %s", error)
                return USAGE_ERROR
    except RunDirectoryError as error:
        log.error("Error: %s", error)
        return USAGE_ERROR


def _compile_on_cpu(cluster: Cluster | None) -> None:
    """Lets a session that compiles do so for a CPU too; read when TensorFlow is first used."""
    if cluster is not None:
        raise ConfigError("--xla: the processes of a cluster compile nothing; leave it out")
    given = os.environ.get("TF_XLA_FLAGS", "")
    os.environ["TF_XLA_FLAGS"] = f"{given} --tf_xla_cpu_global_jit".strip()


def _take_part(values: Mapping[str, Any], cluster: Cluster, notes: Sequence[str]) -> int:
    """This process's share of a run of several; TensorFlow is imported here."""
    from AEROBI.cluster import entry

    return entry.run(values, cluster, notes)


if __name__ == "__main__":
    sys.exit(run_quietly(main))
