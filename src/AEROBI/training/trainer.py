"""What search and final training share: a session, child epochs, evaluations, scores.

A run is a ladder: run, epoch, phase, step. Where it is on the ladder, and how it comes back there,
is kept by `resuming`; where a step is made, in this process or in many, is known to `steps`.
"""

import logging
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from AEROBI.config import RunConfig
from AEROBI.data.streams import Streams
from AEROBI.data_utils import DataSet
from AEROBI.records import published_log
from AEROBI.run.run_dir import RunDirectory
from AEROBI.scoring import metrics
from AEROBI.training import not_finite
from AEROBI.training.resuming import BestEpoch, Counters, Resuming
from AEROBI.training.steps import StepResult, Steps

log = logging.getLogger(__name__)

# The published log says "valid" where the folders say "val".
LOG_NAMES = {"val": "valid", "test": "test"}


class SplitResult(NamedTuple):
    """What a child said of every image of a split, and how good it was."""

    logits: np.ndarray  # float32 [n, classes]
    labels: np.ndarray  # uint8 [n, classes]
    metrics: metrics.Metrics


class Trainer:
    """A session on a run's graph, and the verbs that the loops are made of."""

    def __init__(self, config: RunConfig, run_dir: RunDirectory, steps: Steps, streams: Streams,
                 data_set: DataSet):
        """Opens the session, on the current graph, which is complete with the graph of `steps`."""
        self.config, self.run_dir, self.streams = config, run_dir, streams
        self.data_set, self._steps = data_set, steps
        self.steps_per_epoch = streams.train.batches_per_epoch
        self.resuming = Resuming(config, run_dir, streams, data_set)
        self.session, self._restored = steps.open(self.resuming.checkpoints)
        self._handles = dict(zip(Streams._fields, self.session.run(
            [stream.handle for stream in streams])))
        graph = steps.graph
        self.guard = not_finite.NonFiniteGuard(config.on_nan, self.session, graph)
        self._evaluate_batch = self.session.make_callable(
            list(graph.evaluation), [graph.stream, graph.arc])

    @property
    def counters(self) -> Counters:
        """Steps, updates and epochs that are done; the loops count on."""
        return self.resuming.counters

    @property
    def best(self) -> BestEpoch | None:
        """The best evaluation of a final training so far."""
        return self.resuming.best

    # Start, stop, save.

    def start_or_resume(self) -> None:
        """Counters and logs of the checkpoint whose weights the session has, or of a new run."""
        self.resuming.take_up(self.session, self._restored)
        self._steps.begin(self.counters.child_step)

    def consistent_point(self) -> None:
        """Saves when it is time to; call after every change of weights and counters."""
        self.resuming.mark()
        self.check_stop()
        if self.resuming.is_due:
            self.save()

    def check_stop(self) -> None:
        """Raises Stopped if a signal has come."""
        self._steps.check_stop()

    def save(self) -> None:
        """A checkpoint of the last consistent point.

        Raises:
            NonFiniteError: a weight is not finite; the checkpoints before stay.
        """
        self.guard.check_weights(self.resuming.last_checkpoint)
        self.resuming.position.update(self._steps.position())
        self.resuming.save(self.session)

    # Steps, evaluations, scores.

    def renew_child(self) -> None:
        """The child begins anew: its weights, statistics and momentum are the first ones again."""
        self._steps.renew_child()

    def run_epochs(self, arcs_of_epoch: Callable[[int], np.ndarray],
                   end_of_epoch: Callable[[int], None],
                   finished: Callable[[], bool] = lambda: False) -> None:
        """Child steps, then `end_of_epoch(epochs done)`; to the last epoch, or until `finished`."""
        while self.counters.epochs_done < self.config.num_epochs and not finished():
            epoch = self.counters.epochs_done
            self._child_epoch(epoch, arcs_of_epoch(epoch))
            end_of_epoch(epoch + 1)
            self.counters.epochs_done += 1
            self.consistent_point()
        self.save()

    def _child_epoch(self, epoch: int, arcs: np.ndarray) -> None:
        """The steps of an epoch that are still to do; `arcs` int32 [steps per epoch, D]."""
        first = epoch * self.steps_per_epoch
        done, end = self.counters.child_step - first, first + self.steps_per_epoch
        title = f"epoch {epoch + 1}/{self.config.num_epochs}"
        with self.progress(range(done, self.steps_per_epoch), title, done) as bar:
            for result in self._steps.make(range(first + done, end), arcs):
                if not math.isfinite(result.loss + result.grad_norm):
                    self._not_finite(result)
                bar.update(result.number - self.counters.child_step)
                self.counters.child_step = result.number
                self._log_child(result)
                self.consistent_point()
        self.counters.child_step = end  # the last ones may have been made without this process

    def _not_finite(self, result: StepResult) -> None:
        """Goes on without the update, or finds where the numbers began to be wrong and stops."""
        skipped = not_finite.describe_child_step(result.number, result.arc, result.loss,
                                                 result.grad_norm)
        not_finite.check(skipped, self.guard, self.resuming.last_checkpoint,
                         lambda: self._steps.diagnosis(result, self.guard))

    def _log_child(self, result: StepResult) -> None:
        step = result.number
        if step % self.config.log_every:
            return
        epoch = step // self.steps_per_epoch
        log.info(published_log.child_line(
            epoch=epoch, step=step, loss=result.loss, lr=result.lr, grad_norm=result.grad_norm,
            correct=result.correct, batch_size=result.images, minutes=self.resuming.minutes))
        self.run_dir.write_metrics({
            "kind": "child", "epoch": epoch, "step": step, "loss": float(result.loss),
            "lr": result.lr, "grad_norm": float(result.grad_norm),
            "correct": int(result.correct), "images": int(result.images)})
        self.run_dir.scalars(step, {
            "child/loss": result.loss, "child/learning_rate": result.lr,
            "child/grad_norm": result.grad_norm,
            "child/exact_match": result.correct / result.images})

    def evaluate(self, split: str, arcs: Sequence[np.ndarray]) -> SplitResult:
        """A whole split; `arcs` has one architecture for each of its batches."""
        stream = getattr(self.streams, split)
        # The quirk's queue goes on from one evaluation to the next.
        passes = self.counters.epochs_done if self.config.data.random_eval else 0
        self.session.run(stream.initializer, {stream.start: passes * stream.batches_per_epoch})
        logits, labels = [], []
        for i in self.progress(range(stream.batches_per_epoch), split):
            batch = self.evaluate_batch(split, arcs[i])
            logits.append(batch[0])
            labels.append(batch[1])
            self.check_stop()
        logits, labels = np.concatenate(logits), np.concatenate(labels)
        return SplitResult(logits, labels,
                           metrics.evaluate(logits, labels, self.data_set.class_names))

    def evaluate_batch(self, stream: str, arc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Logits and labels of the next batch of a stream under `arc`."""
        return self._evaluate_batch(self._handles[stream], arc)

    def start_rewards(self, position: int) -> None:
        """The next batch that `score` uses is the one at a position of the reward stream."""
        self._steps.start_rewards(position)

    def score(self, arcs: np.ndarray, measure: str) -> np.ndarray:
        """What architectures int32 [n, D] are worth, each on the next reward batch: float64 [n].

        `measure` is one of `config.REWARDS`.
        """
        return self._steps.score(arcs, measure)

    def evaluate_and_log(self, epoch: int,
                         arcs_of: Callable[[str, int], np.ndarray]) -> dict[str, SplitResult]:
        """Val and test after so many epochs; `arcs_of(split, batches)`.

        Log and records count epochs from 0: the last one has the number `epoch` - 1.
        """
        scored = {}
        log.info(published_log.evaluation_header(epoch - 1))
        for split, name in LOG_NAMES.items():
            log.info(published_log.evaluation_step(self.counters.child_step))
            batches = getattr(self.streams, split).batches_per_epoch
            scored[split] = self.evaluate(split, arcs_of(split, batches))
            result = scored[split].metrics
            loss = -metrics.worth("negative_loss", scored[split].logits, scored[split].labels)
            log.info(published_log.accuracy_line(name, result.exact_match))
            self.run_dir.write_metrics({
                "kind": "evaluation", "split": split, "epoch": epoch - 1,
                "step": self.counters.child_step, **metrics.to_record(result),
                "loss": loss if math.isfinite(loss) else None})
            self.run_dir.scalars(self.counters.child_step, {
                f"{name}/exact_match": result.exact_match,
                f"{name}/mean_label_accuracy": result.mean_label_accuracy,
                f"{name}/mean_average_precision": result.mean_average_precision})
        return scored

    def progress(self, steps: range, title: str, done: int = 0) -> tqdm:
        """A bar with the time left, where a terminal is attached."""
        return tqdm(steps, title, initial=done, total=done + len(steps), leave=False,
                    disable=None, dynamic_ncols=True)
