"""One run, from the data set to the last epoch: builds the graph, then hands over to a loop."""

import contextlib
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow.compat.v1 as tf

from AEROBI.config import RunConfig
from AEROBI.data.packed_images import open_packed
from AEROBI.data.streams import make_streams
from AEROBI.data_utils import DataSet
from AEROBI.drawing.dag import small_png
from AEROBI.flags import table
from AEROBI.flags.resolve import resolve
from AEROBI.image_ops import check_kernels
from AEROBI.records import log_head
from AEROBI.run.run_dir import RunDirectory
from AEROBI.search_space.spaces import space_of
from AEROBI.tf_setup import check_memory, make_deterministic, resolve_data_format
from AEROBI.training.alone import AloneSearch
from AEROBI.training.final import run_final
from AEROBI.training.graphs import (
    ControllerGraph,
    build_child,
    build_controller,
    child_parameters,
)
from AEROBI.training.search import Search
from AEROBI.training.steps import LocalSteps
from AEROBI.training.stopping import Stopped, stop_on_signals
from AEROBI.training.trainer import Trainer

log = logging.getLogger(__name__)


def run(config: RunConfig, run_dir: RunDirectory, data_set: DataSet,
        epochs_done: Callable[[int], None] = lambda _: None) -> int:
    """Searches, or trains the fixed architecture; returns the exit status.

    Args:
        config: complete.
        run_dir: where it writes.
        data_set: whose images are packed, if they are not yet.
        epochs_done: of a final training, see `run_final`.

    Raises:
        DataError: an image that cannot be used.
    """
    splits = open_packed(data_set, config.data.img_size, config.data.cache_dir,
                         config.data.aliased_scaling)
    data_set = data_set._replace(fingerprint=splits["train"].fingerprint)
    if config.deterministic:
        make_deterministic()
    log.info("Building the graph")
    with stop_on_signals() as stop, tf.Graph().as_default():
        streams = make_streams(splits, config)
        child = build_child(config, streams.train.output_types, streams.train.output_shapes)
        log.info(log_head.size_line(child_parameters()))
        controller = (build_controller(config.controller, config.seed) if config.is_search
                      else None)
        steps = LocalSteps(config, child, streams, stop)
        trainer = Trainer(config, run_dir, steps, streams, data_set)
        # However it ends: threads that read batches ahead run Python, and one that still did at
        # the interpreter's end would abort the process.
        with contextlib.closing(trainer.session):
            return run_loop(trainer, controller, epochs_done)


def run_loop(trainer: Trainer, controller: ControllerGraph | None,
             epochs_done: Callable[[int], None] = lambda _: None) -> int:
    """The search of a controller, or without one the final training; returns the exit status.

    Args:
        trainer: of the child.
        controller: of the same graph.
        epochs_done: of a final training, see `run_final`.
    """
    try:
        if controller is not None:
            loop = AloneSearch if trainer.config.alone_epochs else Search
            loop(trainer, controller, small_png).run()
        else:
            run_final(trainer, epochs_done)
    except Stopped as stopped:
        trainer.save()
        log.info("Stopped by %s after %d child steps and %d controller updates; checkpoint "
                 "written. The same command continues from there, with --noreset_output_dir.",
                 stopped, trainer.counters.child_step, trainer.counters.controller_step)
        return 128 + stopped.signal_number
    return 0


def configure(values: Mapping[str, Any], data_set: DataSet) -> tuple[RunConfig, dict[str, Any]]:
    """The configuration of a run on this machine, and what its directory keeps of it.

    Args:
        values: of the flags, checked.
        data_set: of the run.

    Raises:
        ConfigError: this machine cannot run it.
    """
    config = resolve(values, data_set.class_names, resolve_data_format("auto"))
    check_memory(space_of(config.child).step_memory(config.child, config.data))
    if config.child.precision != "float32":
        check_kernels(config.child.data_format, config.child.precision)
    return config, {**table.record(values), "data_path": _absolute(values["data_path"]),
                    "cache_dir": _absolute(values["cache_dir"]),
                    "data_format": config.child.data_format,
                    "class_names": list(data_set.class_names)}


def _absolute(path: str) -> str:
    """The path as a run's record has it: later commands may be called from another folder."""
    return os.path.abspath(os.path.expanduser(path)) if path else ""


def log_head_of(values: Mapping[str, Any], record: Mapping[str, Any],
                notes: Sequence[str]) -> None:
    """What the log begins with: every flag, as it was resolved, and what else there is to say."""
    resolved = {name: record.get(name, value) for name, value in values.items()}
    for line in (*log_head.flag_lines(resolved), *notes):
        log.info("%s", line)
