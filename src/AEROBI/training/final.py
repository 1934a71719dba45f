"""Final training: one architecture, evaluated every epoch, the best epoch kept (CODEBRIM 4.3)."""

import logging
import os
from collections.abc import Callable, Mapping

import numpy as np

from AEROBI.records import split_predictions
from AEROBI.records.split_predictions import Predictions
from AEROBI.scoring import metrics
from AEROBI.search_space.spaces import space_of
from AEROBI.training.resuming import BestEpoch
from AEROBI.training.trainer import SplitResult, Trainer

log = logging.getLogger(__name__)


def run_final(trainer: Trainer, epochs_done: Callable[[int], None] = lambda _: None) -> None:
    """Trains from where the trainer's counters are to the last epoch, then logs a summary.

    Args:
        trainer: of a fixed architecture.
        epochs_done: called with their number before the first epoch and after each.
    """
    config, child = trainer.config, trainer.config.child
    _announce(trainer)
    arc = np.array(child.fixed_arc, np.int32)

    def end_of_epoch(epoch: int) -> None:
        if epoch % config.eval_every_epochs == 0:
            scored = trainer.evaluate_and_log(epoch, lambda _, batches: [arc] * batches)
            exact = BestEpoch(epoch - 1, *(scored[split].metrics.exact_match
                                       for split in ("val", "test")))
            if trainer.best is None or exact.val > trainer.best.val:
                _keep_best(trainer, exact, scored)
        epochs_done(epoch)

    trainer.start_or_resume()
    epochs_done(trainer.counters.epochs_done)
    trainer.run_epochs(lambda _: np.tile(arc, [trainer.steps_per_epoch, 1]), end_of_epoch,
                       lambda: _no_longer_better(trainer))
    _summarise(trainer, arc)


def _announce(trainer: Trainer) -> None:
    config, child = trainer.config, trainer.config.child
    space = space_of(child)
    architecture = space.from_numbers(child.fixed_arc)
    if child.network == "search":
        log.info("Training %s as it was searched", architecture)
        return
    cost = space.cost(architecture, child, config.data.img_size)
    log.info("Training %s: %d parameters, %d multiply-adds a patch", architecture, *cost)


def _keep_best(trainer: Trainer, best: BestEpoch, scored: Mapping[str, SplitResult]) -> None:
    """The child's weights, and what it says of every image, replace those of the best before."""
    trainer.resuming.save_best(trainer.session, best)
    if trainer.config.data.random_eval:
        return  # that quirk's queue does not tell which image is which
    data_set = trainer.data_set
    for split, result in scored.items():
        paths = tuple(os.path.relpath(path, data_set.root).replace(os.sep, "/")
                      for path in data_set.splits[split].paths)
        split_predictions.save(
            trainer.run_dir.path / split_predictions.file_name(split),
            Predictions(best.epoch, data_set.class_names, paths, result.logits, result.labels))


def _no_longer_better(trainer: Trainer) -> bool:
    patience, best = trainer.config.early_stopping_epochs, trainer.best
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
    best = trainer.best
    if best is not None:
        log.info("Best validation exact match %.4f in epoch %d; test exact match there %.4f",
                 best.val, best.epoch, best.test)
