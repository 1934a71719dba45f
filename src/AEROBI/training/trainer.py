"""What search and final training share: a session, child epochs, evaluations, scores.

A run is a ladder: run, epoch, phase, step. Where it is on the ladder, and how it comes back there,
is kept by `resuming`.
"""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf
from tqdm import tqdm

from AEROBI.config import RunConfig
from AEROBI.data.streams import Streams
from AEROBI.data_utils import DataSet
from AEROBI.records import published_log
from AEROBI.run.run_dir import RunDirectory
from AEROBI.scoring import metrics
from AEROBI.seeds import seed_pair
from AEROBI.tf_setup import session_config
from AEROBI.train_ops import learning_rate
from AEROBI.training import not_finite
from AEROBI.training.graphs import ChildGraph
from AEROBI.training.resuming import BestEpoch, Counters, Resuming
from AEROBI.training.stopping import StopRequest

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

    def __init__(self, config: RunConfig, run_dir: RunDirectory, graph: ChildGraph,
                 streams: Streams, data_set: DataSet, stop: StopRequest):
        """Opens the session; `graph` is the current graph, complete."""
        self.config, self.run_dir, self.streams = config, run_dir, streams
        self.data_set = data_set
        self.steps_per_epoch = streams.train.batches_per_epoch
        self._stop, self._graph = stop, graph
        self.resuming = Resuming(config, run_dir, streams, data_set)
        self._initialize = tf.global_variables_initializer()
        self.session = self._open_session()
        self._handles = dict(zip(Streams._fields, self.session.run(
            [stream.handle for stream in streams])))
        self._train_step = self.session.make_callable(
            list(graph.training), [graph.stream, graph.arc, graph.lr, graph.seed])
        self.guard = not_finite.NonFiniteGuard(config.on_nan, self.session, graph)
        self._evaluate_batch = self.session.make_callable(
            list(graph.evaluation), [graph.stream, graph.arc])
        self._reward_batch = self.session.make_callable(
            list(graph.reward), [graph.stream, graph.arc])

    @property
    def counters(self) -> Counters:
        """Steps, updates and epochs that are done; the loops count on."""
        return self.resuming.counters

    @property
    def best(self) -> BestEpoch | None:
        """The best evaluation of a final training so far."""
        return self.resuming.best

    # Start, stop, save.

    def _open_session(self) -> tf.Session:
        # Every set of fetches is known by now; a graph that grew between runs would be slow.
        tf.get_default_graph().finalize()
        return tf.Session(config=session_config(self.config.xla))

    def start_or_resume(self) -> None:
        """Initial weights, or those of the last checkpoint with its counters and logs."""
        self.session.run(self._initialize)
        self._take_up(self.resuming.checkpoints.restore_latest(self.session))

    def _take_up(self, position: Mapping[str, Any] | None) -> None:
        """The run and its training batches at a position; without one, at the beginning."""
        self.resuming.take_up(self.session, position)
        self.session.run(self.streams.train.initializer,
                         {self.streams.train.start: self.counters.child_step})

    def consistent_point(self) -> None:
        """Saves when it is time to; call after every change of weights and counters."""
        self.resuming.mark()
        self.check_stop()
        if self.resuming.is_due:
            self.save()

    def check_stop(self) -> None:
        """Raises Stopped if a signal has come."""
        self._stop.raise_if_made()

    def save(self) -> None:
        """A checkpoint of the last consistent point.

        Raises:
            NonFiniteError: a weight is not finite; the checkpoints before stay.
        """
        self.guard.check_weights(self.resuming.last_checkpoint)
        self.resuming.save(self.session)

    # Steps, evaluations, scores.

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
        done = self.counters.child_step - first
        title = f"epoch {epoch + 1}/{self.config.num_epochs}"
        for i in self.progress(range(done, self.steps_per_epoch), title, done):
            lr = learning_rate(first + i, self.steps_per_epoch, self.config.train)
            seed = seed_pair(self.config.seed, "dropout", first + i)
            result = self._train_step(self._handles["train"], arcs[i], lr, seed)
            if not math.isfinite(result[0] + result[3]):
                self._not_finite(arcs[i], lr, seed, result)
            self.counters.child_step += 1
            self._log_child(lr, *result[:4])
            self.consistent_point()

    def _not_finite(self, arc: np.ndarray, lr: float, seed: np.ndarray, result: Sequence) -> None:
        """Goes on without the update, or looks at the same batch again and stops."""
        train, step = self.streams.train, self.counters.child_step

        def diagnose() -> dict[str, np.ndarray]:
            self.session.run(train.initializer, {train.start: step})
            return self.guard.diagnosis(self._handles["train"], arc, lr, seed)

        skipped = not_finite.describe_child_step(step + 1, arc, result[0], result[3])
        not_finite.check(skipped, self.guard, self.resuming.last_checkpoint, diagnose)

    def _log_child(self, lr: float, loss: float, correct: int, size: int, norm: float) -> None:
        step = self.counters.child_step
        if step % self.config.log_every:
            return
        epoch = step // self.steps_per_epoch
        log.info(published_log.child_line(
            epoch=epoch, step=step, loss=loss, lr=lr, grad_norm=norm, correct=correct,
            batch_size=size, minutes=self.resuming.minutes))
        self.run_dir.write_metrics({
            "kind": "child", "epoch": epoch, "step": step, "loss": float(loss), "lr": lr,
            "grad_norm": float(norm), "correct": int(correct), "images": int(size)})
        self.run_dir.scalars(step, {
            "child/loss": loss, "child/learning_rate": lr, "child/grad_norm": norm,
            "child/exact_match": correct / size})

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
        rewards = self.streams.reward
        self.session.run(rewards.initializer, {rewards.start: position})

    def score(self, arcs: np.ndarray, measure: str) -> np.ndarray:
        """What architectures int32 [n, D] are worth, each on the next reward batch: float64 [n].

        `measure` is one of `config.REWARDS`.
        """
        worths = []
        for arc in arcs:
            self.check_stop()
            worths.append(metrics.worth(
                measure, *self._reward_batch(self._handles["reward"], arc)))
        return np.array(worths)

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
            log.info(published_log.accuracy_line(name, result.exact_match))
            self.run_dir.write_metrics({
                "kind": "evaluation", "split": split, "epoch": epoch - 1,
                "step": self.counters.child_step, **metrics.to_record(result)})
            self.run_dir.scalars(self.counters.child_step, {
                f"{name}/exact_match": result.exact_match,
                f"{name}/mean_label_accuracy": result.mean_label_accuracy,
                f"{name}/mean_average_precision": result.mean_average_precision})
        return scored

    def progress(self, steps: range, title: str, done: int = 0) -> tqdm:
        """A bar with the time left, where a terminal is attached."""
        return tqdm(steps, title, initial=done, total=done + len(steps), leave=False,
                    disable=None, dynamic_ncols=True)
