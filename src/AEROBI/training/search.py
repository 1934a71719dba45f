"""The search: child epochs under sampled architectures, controller phases (ENAS, section 2.2)."""

import logging
from collections.abc import Callable

import numpy as np

from AEROBI.config import UNIFORM
from AEROBI.records import published_log
from AEROBI.search_space.spaces import AnyArchitecture, space_of
from AEROBI.seeds import seed_pair, seed_sequence
from AEROBI.training import not_finite
from AEROBI.training.graphs import ControllerGraph
from AEROBI.training.trainer import Trainer

log = logging.getLogger(__name__)

# (architecture, title) → the bytes of a PNG, or None where nothing can be drawn.
Picture = Callable[[AnyArchitecture, str], bytes | None]

PRINTED = 10  # architectures printed after each controller phase


class Search:
    """The loop of the search on a trainer of a search child."""

    def __init__(self, trainer: Trainer, graph: ControllerGraph, picture: Picture):
        """Both graphs are complete; the session is the trainer's."""
        self._picture = picture
        self._trainer, self._config = trainer, trainer.config.controller
        self._space = space_of(self._config)
        session = trainer.session
        self._draw = session.make_callable(graph.drawn, [graph.count, graph.seed])
        update = graph.reinforce
        self._reinforce = session.make_callable(
            [update.loss, update.baseline, update.reward, graph.entropy, graph.skip_count,
             update.step.grad_norm, update.step.train_op], [graph.arcs, graph.worth])

    def run(self) -> None:
        """Searches from where the trainer's counters are to the last epoch."""
        trainer = self._trainer
        trainer.start_or_resume()
        trainer.start_rewards(self._rewards_used())
        trainer.run_epochs(self._arcs_of_epoch, self._end_of_epoch)
        self._name_the_best()

    def draw(self, count: int, purpose: str, *counters: int) -> np.ndarray:
        """`count` architectures from the policy as it is, int32 [count, D]."""
        return self._draw(count, seed_pair(self._trainer.config.seed, purpose, *counters))

    def _arcs_of_epoch(self, epoch: int) -> np.ndarray:
        """An architecture for each step: the policy does not change within a child epoch."""
        return self._draw_for_child(self._trainer.steps_per_epoch, epoch)

    def _draw_for_child(self, count: int, counter: int) -> np.ndarray:
        """What the child is trained on, int32 [count, D], drawn as --child_sampling says."""
        if self._config.child_sampling == UNIFORM:
            return self._draw_uniformly(count, counter)
        return self.draw(count, "child arcs", counter)

    def _draw_uniformly(self, count: int, counter: int) -> np.ndarray:
        """All architectures alike, int32 [count, D] (Guo et al., 2020: single-path one-shot).

        Under a decided policy the weights that it chooses are trained most and score best, and
        what it rules out is not known any more.
        """
        rng = np.random.default_rng(seed_sequence(self._trainer.config.seed, "child arcs", counter))
        return np.array([self._space.random(rng).numbers() for _ in range(count)], np.int32)

    def _end_of_epoch(self, epoch: int) -> None:
        """`epoch` epochs are done; the log counts from 0, so the last one has the number before."""
        if self._phases_before(epoch + 1) > self._phases_before(epoch):
            self._controller_phase(epoch)
            self._print_architectures(epoch)
        if epoch % self._trainer.config.eval_every_epochs == 0:
            self._trainer.evaluate_and_log(
                epoch, lambda split, batches: self._arcs_to_evaluate(split, batches, epoch))

    def _arcs_to_evaluate(self, split: str, batches: int, epoch: int) -> np.ndarray:
        """An architecture for each batch of a split, int32 [batches, D]."""
        return self.draw(batches, f"{split} arcs", epoch)

    def _phases_before(self, epoch: int) -> int:
        """Controller phases that end before the end of `epoch`."""
        first, every = self._config.warmup_epochs, self._config.train_every
        return max(0, (epoch - 1) // every - first // every) if self._config.training else 0

    def _rewards_used(self) -> int:
        """Reward batches taken up to the last consistent point."""
        counters = self._trainer.counters
        phases = self._phases_before(counters.epochs_done + 1)
        return counters.controller_step * self._config.samples_per_update + phases * PRINTED

    def _controller_phase(self, epoch: int) -> None:
        """The updates of a phase that are still to do."""
        counters, updates = self._trainer.counters, self._config.updates_per_phase
        done = counters.controller_step - self._phases_before(epoch) * updates
        if not done:
            log.info(published_log.controller_header(epoch - 1))
        worths_of = self._rewards_of_phase(epoch)
        for i in self._trainer.progress(range(done, updates), "controller", done):
            self._update(i * self._config.samples_per_update, worths_of)
            self._trainer.consistent_point()

    @property
    def _worth_name(self) -> str:
        """Of what samples are worth, in the records."""
        return self._config.reward

    def _rewards_of_phase(self, epoch: int) -> Callable[[np.ndarray], np.ndarray]:
        """What says what architectures int32 [n, D] are worth: float64 [n]."""
        return lambda arcs: self._trainer.score(arcs, self._config.reward)

    def _update(self, first_sample: int, worths_of: Callable[[np.ndarray], np.ndarray]) -> None:
        """Draw, score and reinforce as many architectures as one update averages."""
        trainer, count = self._trainer, self._config.samples_per_update
        arcs = self.draw(count, "controller arcs", trainer.counters.controller_step)
        worths = worths_of(arcs).astype(np.float32)
        loss, baseline, reward, entropy, skips, norm, _ = self._reinforce(arcs, worths)
        trainer.counters.controller_step += 1
        if not (np.isfinite(loss).all() and np.isfinite(norm)):
            skipped = not_finite.describe_controller_step(trainer.counters.controller_step, arcs, {
                "reward": reward, "baseline": baseline, "loss": loss, "|g|": np.full(count, norm)})
            not_finite.check(skipped, trainer.guard, trainer.resuming.last_checkpoint)
        values = {"loss": loss, "entropy": entropy, self._worth_name: worths, "reward": reward,
                  "baseline": baseline, "skip_rate": skips / self._space.possible_skips,
                  "grad_norm": np.full(count, norm)}
        for i in range(count):
            if (first_sample + i) % trainer.config.log_every == 0:
                self._log_sample({name: float(value[i]) for name, value in values.items()})
        if trainer.counters.controller_step % self._config.updates_per_phase == 0:
            # One point a phase: child steps are the axis of all curves.
            trainer.run_dir.scalars(trainer.counters.child_step, {
                f"controller/{name}": value.mean() for name, value in values.items()})

    def _log_sample(self, values: dict[str, float]) -> None:
        trainer = self._trainer
        step = trainer.counters.controller_step - 1  # updates before the one of this sample
        log.info(published_log.controller_line(
            step=step, loss=values["loss"], entropy=values["entropy"], lr=self._config.lr,
            grad_norm=values["grad_norm"], exact_match=values[self._worth_name],
            baseline=values["baseline"], minutes=trainer.resuming.minutes))
        trainer.run_dir.write_metrics({
            "kind": "controller", "step": step, "child_step": trainer.counters.child_step,
            "lr": self._config.lr, **values})

    def _exact_matches(self, arcs: np.ndarray) -> np.ndarray:
        """Of architectures int32 [n, D], each on the next reward batch."""
        return self._trainer.score(arcs, "exact_match")

    _score_is = "of one batch"  # what is said of a printed architecture

    @property
    def _images_of_a_score(self) -> int:
        """How many images an exact match of a printed architecture is of."""
        return self._trainer.config.reward_images

    def _print_architectures(self, epoch: int) -> None:
        """Ten sampled architectures, each with the exact match of its one batch."""
        log.info(published_log.architectures_header(PRINTED))
        scored = []
        for index, arc in enumerate(self.draw(PRINTED, "printed arcs", epoch)):
            architecture = self._space.from_numbers(arc)
            exact = float(self._exact_matches(arc[np.newaxis])[0])
            for line in published_log.architecture_lines(architecture.rows(), exact):
                log.info(line)
            self._trainer.run_dir.write_architecture({
                "epoch": epoch - 1, "index": index, "architecture": str(architecture),
                "exact_match": exact, "images": self._images_of_a_score,
                "skip_rate": architecture.skip_rate})
            scored.append((exact, architecture))
        self._show(*max(scored, key=lambda scored_architecture: scored_architecture[0]))

    def _show(self, exact_match: float, architecture: AnyArchitecture) -> None:
        """The best of the printed ones as a picture in TensorBoard, where it can be drawn."""
        picture = self._picture(architecture, f"exact match {exact_match:.3f} {self._score_is}")
        if picture is not None:
            self._trainer.run_dir.picture(self._trainer.counters.child_step,
                                          "architecture/best_of_the_printed", picture)

    def _name_the_best(self) -> None:
        """Score ten more architectures on the whole validation split and keep the best one."""
        trainer = self._trainer
        batches = trainer.streams.val.batches_per_epoch
        arcs = self.draw(PRINTED, "last arcs", trainer.config.num_epochs)
        scores = [trainer.evaluate("val", [arc] * batches).metrics.exact_match for arc in arcs]
        best = int(np.argmax(scores))
        text = str(self._space.from_numbers(arcs[best]))
        trainer.run_dir.write_best_architecture(text)
        log.info("Best of %d sampled architectures on the whole validation split, with the shared "
                 "weights (exact match %.4f): %s", PRINTED, scores[best], text)
