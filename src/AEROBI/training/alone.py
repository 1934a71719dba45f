"""The search whose architectures share a graph but no weights.

Each architecture that the policy draws is trained alone for a few epochs, from new weights; only
what it chose runs, so none needs a graph of its own. What those trainings came to is learnt by a
linear model, and the controller is reinforced by what the model says of its samples: thousands of
them cost less than one training (Dyna: Sutton, 1991). Why not shared weights:
scripts/studies/README.md.
"""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np

from AEROBI.config import REWARDS
from AEROBI.scoring import metrics
from AEROBI.search_space.linear_worth import LinearWorth
from AEROBI.seeds import seed_sequence
from AEROBI.training.search import PRINTED, Search

log = logging.getLogger(__name__)

KEPT = "trained_alone"  # in the position of a checkpoint: [[decisions, {measure: worth}], ...]


def learnt(trained: list[Any], measure: str) -> LinearWorth:
    """What the trainings of a search tell about a measure, one of `config.REWARDS`."""
    return LinearWorth(np.array([arc for arc, _ in trained], np.int32),
                       np.array([worths[measure] for _, worths in trained]))


class AloneSearch(Search):
    """The loop of a search that trains one architecture after the other."""

    @property
    def _trained(self) -> list[Any]:
        """What the trainings so far came to; comes back with a checkpoint."""
        return self._trainer.resuming.kept.setdefault(KEPT, [])

    def _arcs_of_epoch(self, epoch: int) -> np.ndarray:
        """The same architecture in all steps; new weights before its first one."""
        trainer, epochs = self._trainer, self._config.alone_epochs
        if trainer.counters.child_step == epoch * trainer.steps_per_epoch and epoch % epochs == 0:
            trainer.renew_child()
        return np.repeat(self._arc_of(epoch // epochs), trainer.steps_per_epoch, 0)

    def _arc_of(self, training: int) -> np.ndarray:
        """Int32 [1, D]: the policy does not change before the training is over."""
        if training < len(self._trained):  # it has, since
            return np.array(self._trained[training][:1], np.int32)
        return self._draw_for_child(1, training)

    def _end_of_epoch(self, epoch: int) -> None:
        """As of any search, but that a training may be over."""
        trainings = epoch // self._config.alone_epochs
        if epoch % self._config.alone_epochs == 0 and len(self._trained) < trainings:
            self._score_training(epoch)
        super()._end_of_epoch(epoch)

    def _score_training(self, epoch: int) -> None:
        """What the architecture came to, on the whole validation split."""
        trainer = self._trainer
        arc = self._arc_of(epoch // self._config.alone_epochs - 1)[0]
        result = trainer.evaluate("val", [arc] * trainer.streams.val.batches_per_epoch)
        worths = {measure: metrics.worth(measure, result.logits, result.labels)
                  for measure in REWARDS}
        architecture = self._space.from_numbers(arc)
        log.info("Trained alone for %d epochs, validation exact match %.4f: %s",
                 self._config.alone_epochs, worths["exact_match"], architecture)
        trainer.run_dir.write_metrics({
            "kind": "alone", "epoch": epoch - 1, "step": trainer.counters.child_step,
            "architecture": str(architecture), **worths})
        self._trained.append([arc.tolist(), worths])

    def _arcs_to_evaluate(self, split: str, batches: int, epoch: int) -> np.ndarray:
        """The weights are those of one architecture alone."""
        return np.repeat(self._arc_of((epoch - 1) // self._config.alone_epochs), batches, 0)

    @property
    def _worth_name(self) -> str:
        """In standard deviations from the mean of what was trained so far."""
        return "modelled_worth"

    def _rewards_of_phase(self, epoch: int) -> Callable[[np.ndarray], np.ndarray]:
        """One draw from what the trainings leave possible, for all updates of a phase."""
        return learnt(self._trained, self._config.reward).draw(
            np.random.default_rng(seed_sequence(self._trainer.config.seed, "model", epoch)))

    def _exact_matches(self, arcs: np.ndarray) -> np.ndarray:
        """To be expected of architectures int32 [n, D] after a training as short."""
        return learnt(self._trained, "exact_match").estimates(arcs).clip(0.0, 1.0)

    _score_is = "expected"

    @property
    def _images_of_a_score(self) -> int:
        return len(self._trainer.data_set.splits["val"].paths)

    def _name_the_best(self) -> None:
        """The best of those that were trained, and of ten drawn from the policy as it is."""
        drawn = self.draw(PRINTED, "last arcs", self._trainer.config.num_epochs)
        arcs = np.concatenate([drawn, np.array([arc for arc, _ in self._trained], np.int32)])
        arc = arcs[np.argmax(learnt(self._trained, self._config.reward).estimates(arcs))]
        best = str(self._space.from_numbers(arc))
        self._trainer.run_dir.write_best_architecture(best)
        log.info("Best of %d architectures that were trained alone and %d drawn from the policy, "
                 "by what is to be expected of as short a training (exact match %.4f): %s",
                 len(self._trained), len(drawn), self._exact_matches(arc[np.newaxis])[0], best)
