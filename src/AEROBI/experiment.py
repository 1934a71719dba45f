"""One run, from the data set to the last epoch: builds the graph, then hands over to a loop."""

import logging

import tensorflow.compat.v1 as tf

from AEROBI.config import RunConfig
from AEROBI.data.packed_images import open_packed
from AEROBI.data.streams import make_streams
from AEROBI.data_utils import DataSet
from AEROBI.drawing.dag import small_png
from AEROBI.records import log_head
from AEROBI.run.run_dir import RunDirectory
from AEROBI.tf_setup import make_deterministic
from AEROBI.training.final import run_final
from AEROBI.training.graphs import build_child, build_controller, child_parameters
from AEROBI.training.search import Search
from AEROBI.training.stopping import Stopped, stop_on_signals
from AEROBI.training.trainer import Trainer

log = logging.getLogger(__name__)


def run(config: RunConfig, run_dir: RunDirectory, data_set: DataSet) -> int:
    """Searches, or trains the fixed architecture; returns the exit status.

    Raises:
        DataError: an image that cannot be used.
    """
    splits = open_packed(data_set, config.data.img_size, config.data.cache_dir,
                         config.data.aliased_scaling)
    if config.deterministic:
        make_deterministic()
    log.info("Building the graph")
    with stop_on_signals() as stop, tf.Graph().as_default():
        streams = make_streams(splits, config)
        child = build_child(config, streams.train.output_types, streams.train.output_shapes)
        log.info(log_head.size_line(child_parameters()))
        if config.is_search:
            controller = build_controller(config.controller, config.seed)
        trainer = Trainer(config, run_dir, child, streams, data_set, stop)
        try:
            if config.is_search:
                Search(trainer, controller, small_png).run()
            else:
                run_final(trainer)
        except Stopped as stopped:
            trainer.save()
            log.info("Stopped by %s after %d child steps and %d controller updates; checkpoint "
                     "written. The same command continues from there, with --noreset_output_dir.",
                     stopped, trainer.counters.child_step, trainer.counters.controller_step)
            return 128 + stopped.signal_number
    return 0
