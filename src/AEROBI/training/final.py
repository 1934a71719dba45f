"""Final training: one architecture, evaluated every epoch, the best epoch kept (CODEBRIM 4.3)."""

import logging
import os
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from AEROBI.architecture import Architecture
from AEROBI.cost import final_child_cost
from AEROBI.records import split_predictions
from AEROBI.records.split_predictions import Predictions
from AEROBI.run.run_dir import RunDirectory
from AEROBI.scoring import metrics
from AEROBI.training.trainer import SplitResult, Trainer

log = logging.getLogger(__name__)


class BestEpoch(NamedTuple):
    """The exact matches of one evaluation."""

    epoch: int  # from 0
    val: float
    test: float


def run_final(trainer: Trainer) -> None:
    """From where the trainer's counters are to the last epoch, then a summary."""
    config, child = trainer.config, trainer.config.child
    _announce(trainer)
    arc = np.array(child.fixed_arc, np.int32)

    def end_of_epoch(epoch: int) -> None:
        if epoch % config.eval_every_epochs == 0:
            scored = trainer.evaluate_and_log(epoch, lambda _, batches: [arc] * batches)
            if best_evaluation(trainer.run_dir).epoch == epoch - 1:
                _keep_best(trainer, epoch - 1, scored)

    trainer.start_or_resume()
    trainer.run_epochs(lambda _: np.tile(arc, [trainer.steps_per_epoch, 1]), end_of_epoch,
                       lambda: _no_longer_better(trainer))
    _summarise(trainer, arc)


def best_evaluation(run_dir: RunDirectory) -> BestEpoch | None:
    """The first of the evaluations with the best validation exact match; None without any."""
    exact = {(one["split"], one["epoch"]): one["exact_match"]
             for one in run_dir.read_metrics() if one["kind"] == "evaluation"}
    both = [BestEpoch(epoch, value, exact["test", epoch])
            for (split, epoch), value in exact.items()
            if split == "val" and ("test", epoch) in exact]
    return max(both, key=lambda one: one.val, default=None)


def _announce(trainer: Trainer) -> None:
    config, child = trainer.config, trainer.config.child
    architecture = Architecture.from_numbers(child.fixed_arc, child.num_layers)
    if child.network == "search":
        log.info("Training %s as it was searched", architecture)
        return
    cost = final_child_cost(architecture, child.out_filters, config.data.img_size,
                            child.num_classes, child.dense_separable)
    log.info("Training %s: %d parameters, %d multiply-adds a patch", architecture, *cost)


def _keep_best(trainer: Trainer, epoch: int, scored: Mapping[str, SplitResult]) -> None:
    """The child's weights, and what it says of every image, replace those of the best before."""
    trainer.save_best({"epoch": epoch, "exact_match": scored["val"].metrics.exact_match})
    if trainer.config.data.random_eval:
        return  # that quirk's queue does not tell which image is which
    data_set = trainer.data_set
    for split, one in scored.items():
        paths = tuple(os.path.relpath(path, data_set.root).replace(os.sep, "/")
                      for path in data_set.splits[split].paths)
        split_predictions.save(
            trainer.run_dir.path / split_predictions.file_name(split),
            Predictions(epoch, data_set.class_names, paths, one.logits, one.labels))


def _no_longer_better(trainer: Trainer) -> bool:
    patience, best = trainer.config.early_stopping_epochs, best_evaluation(trainer.run_dir)
    done = trainer.counters.epochs_done
    if not patience or best is None or done - 1 - best.epoch < patience:
        return False
    log.info("Stopped after %d epochs: validation has not become better since epoch %d",
             done, best.epoch)
    return True


def _summarise(trainer: Trainer, arc: np.ndarray) -> None:
    batches = trainer.streams.test.batches_per_epoch
    last = trainer.evaluate("test", [arc] * batches).metrics
    log.info("Test split, weights of the last epoch:\n%s", metrics.table(last))
    best = best_evaluation(trainer.run_dir)
    if best is not None:
        log.info("Best validation exact match %.4f in epoch %d; test exact match there %.4f",
                 best.val, best.epoch, best.test)
