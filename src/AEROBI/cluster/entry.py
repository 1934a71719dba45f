"""The door of the cluster: what `main` calls where a run is made of several processes."""

from AEROBI.cluster import quiet_runtime  # noqa: F401  (before TensorFlow)

# isort: split
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from AEROBI import experiment
from AEROBI.cluster import process
from AEROBI.cluster.description import PS, Cluster
from AEROBI.cluster.sessions import TRY_AGAIN, ClusterError, serve
from AEROBI.data_utils import DataSet, read_data_set
from AEROBI.flags import table
from AEROBI.run.checkpoints import CheckpointError
from AEROBI.run.held_stderr import ProcessEnd
from AEROBI.run.run_dir import RunDirectory, RunDirectoryError
from AEROBI.training.not_finite import NonFiniteError

log = logging.getLogger(__name__)

USAGE_ERROR = 2


def run(values: Mapping[str, Any], cluster: Cluster, notes: Sequence[str]) -> NoReturn:
    """The share of this process in a run, and the end of the process.

    Args:
        values: of the flags, checked.
        cluster: with this process's place in it.
        notes: sentences for the head of the log, which the chief writes.

    Raises:
        ConfigError: the flags, the data set and so many workers do not fit each other.
        DataError: an image or a label that cannot be used.
        ProcessEnd: with the exit status.
    """
    # Threads of TensorFlow may still wait, for who hangs or at a queue that was closed; its server
    # has some that never end.
    if cluster.job == PS:  # it needs neither data nor a folder
        raise ProcessEnd(_status(lambda: serve(cluster)))
    raise ProcessEnd(_work(values, cluster, read_data_set(values["data_path"]), notes))


def _work(values: Mapping[str, Any], cluster: Cluster, data_set: DataSet,
          notes: Sequence[str]) -> int:
    """A worker; only the chief opens the run directory."""
    config, record = experiment.configure(values, data_set)
    for name in ("child_num_replicas", "controller_num_replicas"):
        record[name] = len(cluster.workers)
    record["child_num_aggregate"] = cluster.aggregate if cluster.sync else None

    @contextlib.contextmanager
    def open_run() -> Iterator[RunDirectory]:
        with RunDirectory.open(config.output_dir, record, False, table.MAY_CHANGE,
                               table.DEFAULTS) as run_dir:
            experiment.log_head_of(values, record, notes)
            yield run_dir

    return _status(lambda: process.run(config, cluster, data_set, open_run))


def _status(work: Callable[[], int]) -> int:
    """What `work` returns, or the status of an error that is told in one line."""
    try:
        return work()
    except ClusterError as error:
        log.error("Error: %s", error)
        return TRY_AGAIN
    except (CheckpointError, NonFiniteError, OSError, RunDirectoryError) as error:
        log.error("Error: %s", error)
        return USAGE_ERROR
