"""Final training: one fixed architecture from scratch, evaluated every epoch (SPEC 8)."""

import logging

import numpy as np

from AEROBI import metrics
from AEROBI.architecture import Architecture, count_parameters
from AEROBI.run_dir import RunDirectory
from AEROBI.training import Trainer

log = logging.getLogger(__name__)


def run_final(trainer: Trainer) -> None:
    """From where the trainer's counters are to the last epoch, then a summary."""
    child = trainer.config.child
    architecture = Architecture.from_numbers(child.fixed_arc, child.num_layers)
    log.info("Training %s: %d parameters", architecture, count_parameters(
        architecture, child.out_filters, child.num_classes, child.dense_separable))
    arc = np.array(child.fixed_arc, np.int32)

    def end_of_epoch(epoch: int) -> None:
        if epoch % trainer.config.eval_every_epochs == 0:
            trainer.evaluate_and_log(epoch, lambda _, batches: [arc] * batches)

    trainer.start_or_resume()
    trainer.run_epochs(lambda _: np.tile(arc, [trainer.steps_per_epoch, 1]), end_of_epoch)
    batches = trainer.streams.test.batches_per_epoch
    result = trainer.evaluate("test", [arc] * batches)
    log.info("Test split, weights of the last epoch:\n%s", metrics.table(result))
    log_best(trainer.run_dir)


def log_best(run_dir: RunDirectory) -> None:
    """The best validation exact match of a run, and the test exact match in that epoch."""
    evaluations = [one for one in run_dir.read_metrics() if one["kind"] == "evaluation"]
    by_epoch = {split: {one["epoch"]: one["exact_match"] for one in evaluations
                        if one["split"] == split} for split in ("val", "test")}
    both = [epoch for epoch in by_epoch["val"] if epoch in by_epoch["test"]]
    if both:
        best = max(both, key=lambda epoch: by_epoch["val"][epoch])
        log.info("Best validation exact match %.4f in epoch %d; test exact match there %.4f",
                 by_epoch["val"][best], best, by_epoch["test"][best])
