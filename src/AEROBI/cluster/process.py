"""One process of a cluster, from its start to the end of the run: `experiment` for many."""

import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import tensorflow.compat.v1 as tf

from AEROBI import experiment
from AEROBI.cluster.chief import SharedSteps
from AEROBI.cluster.description import WORKER, Cluster
from AEROBI.cluster.graph import build_graph, device_of
from AEROBI.cluster.sessions import (
    LOST,
    ClusterError,
    opened,
    reset_servers,
    retry_until,
    start_server,
    wait_for_chief,
    wait_for_ps,
)
from AEROBI.cluster.worker import RejoinError, Worker
from AEROBI.config import ConfigError, RunConfig
from AEROBI.data.packed_images import PackedSplit, open_packed
from AEROBI.data_utils import DataSet, log_summary
from AEROBI.records import log_head
from AEROBI.run.checkpoints import CheckpointError
from AEROBI.run.run_dir import RunDirectory
from AEROBI.tf_setup import make_deterministic
from AEROBI.training.graphs import build_controller, child_parameters
from AEROBI.training.not_finite import NonFiniteError
from AEROBI.training.stopping import Stopped, StopRequest, stop_on_signals
from AEROBI.training.trainer import Trainer

log = logging.getLogger(__name__)

ATTEMPTS = 5  # in a row that came to nothing
LONG_SECS = 30.0  # an attempt that lasted so long did not come to nothing

Splits = Mapping[str, PackedSplit]


def run(config: RunConfig, cluster: Cluster, data_set: DataSet,
        open_run: Callable[[], AbstractContextManager[RunDirectory]]) -> int:
    """A chief's or another worker's share of a run; returns the exit status.

    Args:
        config: of the run; its batch size is that of one worker.
        cluster: with this process's place in it.
        data_set: of the run, also on this machine.
        open_run: opens the run directory; for the chief.

    Raises:
        ClusterError: somebody does not answer in time.
        ConfigError: the data set is too small for so many workers.
        DataError: an image that cannot be used.
    """
    splits = open_packed(data_set, config.data.img_size, config.data.cache_dir,
                         config.data.aliased_scaling)
    data_set = data_set._replace(fingerprint=splits["train"].fingerprint)
    _check_size(splits, config, cluster)
    if config.deterministic:
        make_deterministic()
    server = start_server(cluster)
    me = cluster.address(WORKER, cluster.index)
    with stop_on_signals() as stop:
        def attempt() -> int:
            wait_for_ps(server, cluster, stop)
            if cluster.is_chief:
                with open_run() as run_dir:
                    return _lead(config, cluster, server, (splits, data_set), run_dir, stop)
            return _follow(config, cluster, server, splits, stop)

        failed = 0
        while True:
            started = time.monotonic()
            try:
                return attempt()
            except (RejoinError, *LOST) as error:
                failed = 0 if time.monotonic() - started > LONG_SECS else failed + 1
                reason = ("the chief has started again" if isinstance(error, RejoinError)
                          else f"a parameter server, or the chief, went: {type(error).__name__}")
                if failed == ATTEMPTS:
                    raise ClusterError(f"{me}: gave up after {ATTEMPTS} attempts ({reason})"
                                       ) from None
                log.info("%s: connection lost (%s); joining again, from the last checkpoint", me,
                         reason)
            except Stopped as stopped:  # it has not begun
                return 128 + stopped.signal_number
            except tf.errors.DeadlineExceededError:
                raise ClusterError(
                    f"{me}: no answer for {cluster.timeout_secs:g} seconds from the chief, the "
                    "parameter servers or another worker: see what the chief says, start again "
                    "what hangs, then this one") from None


def _check_size(splits: Splits, config: RunConfig, cluster: Cluster) -> None:
    """No worker's part of a batch may be empty."""
    images, workers = len(splits["train"].labels), len(cluster.workers)
    batches = -(-images // (workers * config.data.batch_size))
    if images // batches < 2 * workers:
        raise ConfigError(f"{images} training images are too few for {workers} workers: each "
                          "needs at least two in every batch")


def _lead(config: RunConfig, cluster: Cluster, server: tf.train.Server,
          data: tuple[Splits, DataSet], run_dir: RunDirectory, stop: StopRequest) -> int:
    """The chief, from the last checkpoint."""
    splits, data_set = data
    log_summary(data_set)
    log.info(mode_line(config, cluster))
    retry_until(lambda: reset_servers(server, cluster), cluster, stop,
              "the parameter servers cannot be cleared")
    with tf.Graph().as_default(), tf.device(device_of(cluster)):
        graph = build_graph(config, cluster, splits)
        log.info(log_head.size_line(child_parameters()))
        controller = (build_controller(config.controller, config.seed) if config.is_search
                      else None)
        with SharedSteps(config, cluster, server, graph, splits["val"], stop) as steps:
            trainer = Trainer(config, run_dir, steps, graph.streams, data_set)
            try:
                status = experiment.run_loop(trainer, controller)
            except tf.errors.DeadlineExceededError:
                raise steps.name_stragglers(trainer) from None
            except (CheckpointError, NonFiniteError, OSError):  # to begin again would not help
                with contextlib.suppress(*LOST, tf.errors.DeadlineExceededError):
                    steps.finish()
                raise
            steps.finish()
    return status


def _follow(config: RunConfig, cluster: Cluster, server: tf.train.Server, splits: Splits,
            stop: StopRequest) -> int:
    """Another worker, until the chief has finished or starts again."""
    with tf.Graph().as_default(), tf.device(device_of(cluster)):
        graph = build_graph(config, cluster, splits)
        worker = Worker(config, cluster, graph, splits["val"], stop)
        generation = wait_for_chief(server, cluster, stop)
        with opened(server, cluster, tf.train.Scaffold(), graph.child.optimizer) as session:
            log.info("%s: taking part", cluster.address(WORKER, cluster.index))
            worker.run(session, generation)
    log.info("%s: took part in %d steps", cluster.address(WORKER, cluster.index), worker.steps)
    return 128 + stop.signal_number if stop.signal_number is not None else 0


def mode_line(config: RunConfig, cluster: Cluster) -> str:
    """What the log says of how the workers work together."""
    workers, b = len(cluster.workers), config.data.batch_size
    start = f"{len(cluster.ps)} parameter servers, {workers} workers, {b} images each: "
    if not cluster.sync:
        return start + ("asynchronous. Gradients are applied as they come, to weights that other "
                        "workers have meanwhile changed: no two runs are the same, and none is "
                        "that of one process. --child_sync_replicas averages them instead")
    if cluster.aggregate < workers:
        return start + (f"synchronous, the first {cluster.aggregate} gradients of each step "
                        "averaged; the images of the others are not used in that step")
    return start + (f"synchronous, every step the average of all: one worker with a batch of "
                    f"{workers * b}, but for rounding and BN statistics")
