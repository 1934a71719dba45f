"""A finished search opened again: draws from its policy, scores what was drawn.

A search whose architectures shared weights scores with these. Their BN statistics belong to no
single architecture: the moving ones are a mixture of all that were trained. So an architecture can
be scored with its own statistics as well. A search that trained each alone has no weights to score
with, but what those trainings came to.
"""

import dataclasses
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI import general_controller
from AEROBI.config import ConfigError, DataConfig
from AEROBI.data.input_pipeline import StreamConfig, batches_per_epoch, load_batch
from AEROBI.data.packed_images import CHANNELS, PackedSplit, open_packed
from AEROBI.data.patches import centre_crop
from AEROBI.data_utils import read_data_set
from AEROBI.flags.from_published_checkpoint import class_names, prefix_of, search_of
from AEROBI.flags.from_run_dir import StoredRun, stored_search
from AEROBI.image_ops import LayerMode, towards_batch
from AEROBI.run.checkpoints import CheckpointError, read_position
from AEROBI.run.restore import (
    Restorer,
    check_same_data,
    child_variables,
    newest_checkpoint,
)
from AEROBI.run.run_dir_checks import CHECKPOINTS
from AEROBI.scoring import metrics
from AEROBI.search_space.networks import networks_of
from AEROBI.search_space.spaces import AnyArchitecture, Space, space_of
from AEROBI.seeds import seed_pair
from AEROBI.tf_setup import resolve_data_format, session_config
from AEROBI.training.alone import KEPT, learnt
from AEROBI.training.graphs import logits_in_mode

ALONE = ""  # in the place of `ranking.BN_MODES`: no shared weights, no statistics
BATCH = 64  # images, in scoring and in recalibration
RECALIBRATION_BATCHES = 8


class _Graph(NamedTuple):
    """A search child in the modes that one of `ranking.BN_MODES` needs, and its controller."""

    images: tf.Tensor  # uint8 [N, S, S, 3]
    arc: tf.Tensor  # int32 [D]
    bn_rate: tf.Tensor  # float32 [], how far the moving statistics move
    with_moving: tf.Tensor | None  # logits under the moving statistics
    with_batch: tf.Tensor | None  # logits under those of the batch, and the moving ones move
    count: tf.Tensor  # int32 [], how many to draw
    seed: tf.Tensor  # int32 [2]
    drawn: tf.Tensor  # int32 [B, D]
    most_likely: tf.Tensor  # int32 [1, D]


class Expected(NamedTuple):
    """What an architecture would come to on the validation split, by those that were trained."""

    exact_match: float
    mean_average_precision: float


class FinishedSearch:
    """The search child and the controller of a search, as they are at its newest checkpoint."""

    def __init__(self, run: StoredRun, bn: str, session: tf.Session, graph: _Graph,
                 splits: dict[str, PackedSplit]):
        """Takes a session that has the weights; `bn` as in `open_search`."""
        self.run, self.session, self._bn, self._graph = run, session, bn, graph
        self._splits = splits
        if graph.with_moving is not None:
            self._score_moving = session.make_callable(
                graph.with_moving, [graph.images, graph.arc])
        if graph.with_batch is not None:
            self._score_batch = session.make_callable(
                graph.with_batch, [graph.images, graph.arc, graph.bn_rate])

    @property
    def space(self) -> Space:
        """What the search chose from."""
        return space_of(self.run.config.controller)

    def draw(self, count: int, purpose: str) -> list[AnyArchitecture]:
        """Draws so many architectures from the controller's policy; `purpose` seeds the draw."""
        drawn = self.session.run(self._graph.drawn, {
            self._graph.count: count,
            self._graph.seed: seed_pair(self.run.config.seed, purpose)})
        return [self.space.from_numbers(arc) for arc in drawn]

    def draw_random(self, count: int) -> list[AnyArchitecture]:
        """Uniformly: every operation that is searched and every skip as likely as any other."""
        rng = np.random.default_rng(self.run.config.seed)
        return [self.space.random(rng) for _ in range(count)]

    def most_likely(self) -> AnyArchitecture:
        """The most likely choice of each decision, one after the other."""
        (arc,) = self.session.run(self._graph.most_likely)
        return self.space.from_numbers(arc)

    @property
    def images(self) -> int:
        """Of the validation split."""
        return len(self._splits["val"].labels)

    def tried(self) -> list[AnyArchitecture]:
        """Those that the search has measured already; with shared weights none."""
        return []

    def score(self, architecture: AnyArchitecture) -> "metrics.Metrics | Expected":
        """On the whole validation split, with the shared weights."""
        return metrics.evaluate(*self.logits(architecture), self.run.class_names)

    def logits(self, architecture: AnyArchitecture) -> tuple[np.ndarray, np.ndarray]:
        """Of all validation images, float32 [N, classes], and their labels, uint8 [N, classes]."""
        arc = np.array(architecture.numbers(), np.int32)
        if self._bn == "recalibrated":
            self._recalibrate(arc)
        if self._bn == "batch":
            def score(images: np.ndarray) -> np.ndarray:
                return self._score_batch(images, arc, 0.0)
        else:
            def score(images: np.ndarray) -> np.ndarray:
                return self._score_moving(images, arc)
        split, batches = self._splits["val"], self._validation_batches()
        side = self.run.config.data.img_size
        logits = [score(np.stack([centre_crop(split.image(i), side) for i in batch]))
                  for batch in batches]
        return np.concatenate(logits), split.labels[np.concatenate(batches)]

    def _recalibrate(self, arc: np.ndarray) -> None:
        """Every statistic on the path becomes the mean over the calibration batches.

        m ← m + (x - m) / k for the k-th batch; the first replaces what was there before.
        """
        config, split = self.run.config, self._splits["train"]
        stream = StreamConfig("scoring", min(BATCH, len(split.labels)), config.data.img_size,
                              config.seed, "train")
        for k in range(RECALIBRATION_BATCHES):
            self._score_batch(load_batch(split, k, stream)[0], arc, 1.0 / (k + 1))

    def _validation_batches(self) -> list[np.ndarray]:
        """Indices: image i is in batch i modulo their number.

        A split is in the order of its folders; consecutive images would make batches of
        background alone, and their statistics nothing that the child was trained under.
        """
        images = len(self._splits["val"].labels)
        count = batches_per_epoch(images, BATCH)
        return [np.arange(k, images, count) for k in range(count)]


class TrainedAlone(FinishedSearch):
    """A search whose architectures share no weights: what its trainings came to."""

    def __init__(self, trained: list[Any], *opened):
        """`trained` as `training.alone` keeps it; the others as of `FinishedSearch`."""
        super().__init__(*opened)
        self._trained = [arc for arc, _ in trained]
        self._exact_match, self._precision = (
            learnt(trained, measure) for measure in ("exact_match", "mean_ap"))

    def tried(self) -> list[AnyArchitecture]:
        """Those that were trained, in order."""
        return [self.space.from_numbers(arc) for arc in self._trained]

    def score(self, architecture: AnyArchitecture) -> Expected:
        """To be expected of a training as short as those of the search."""
        arc = np.array([architecture.numbers()], np.int32)
        return Expected(*(float(model.estimates(arc)[0].clip(0.0, 1.0))
                          for model in (self._exact_match, self._precision)))


@contextmanager
def open_search(search: pathlib.Path, bn: str,
                data: DataConfig | None = None) -> Iterator[FinishedSearch]:
    """Opens a finished search, to draw architectures from its policy and score them.

    Args:
        search: the folder it wrote into, or the prefix of a checkpoint of the published code.
        bn: the statistics that architectures are scored with, one of `ranking.BN_MODES`.
            "moving": those of the search; "batch": those of each scored batch; "recalibrated":
            means over some training batches that the scored architecture alone has seen.
        data: where the images are; needed for the published code, which does not say.

    Raises:
        ConfigError: not a search.
        CheckpointError: no checkpoint, or none that can be read.
        DataError: its data set cannot be read.
    """
    prefix = prefix_of(search)
    of_run, own_data = prefix is None, prefix is None and data is None
    if prefix is None:
        run = stored_search(search, {"data_format": resolve_data_format("auto")})
        prefix, data = newest_checkpoint(search / CHECKPOINTS), dataclasses.replace(
            data or run.config.data, aliased_scaling=run.config.data.aliased_scaling)
    elif data is None:
        raise ConfigError(f"{search}: a checkpoint does not say what it was trained on; give "
                          "--data_path")
    else:
        config = search_of(prefix, data)
        data, run = config.data, StoredRun(config, class_names(config.child))
    data_set = read_data_set(data.data_path)
    if len(data_set.class_names) != len(run.class_names):
        raise ConfigError(f"{data.data_path}: has {len(data_set.class_names)} classes, the search "
                          f"{len(run.class_names)}")
    if of_run and data_set.class_names != run.class_names:
        raise ConfigError(f"{data.data_path}: its classes {', '.join(data_set.class_names)} are "
                          f"not the search's, {', '.join(run.class_names)}")
    run = StoredRun(dataclasses.replace(run.config, data=data), data_set.class_names)
    trained = trainings_of(run, prefix)
    splits = open_packed(data_set, data.img_size, data.cache_dir, data.aliased_scaling)
    if own_data:
        check_same_data(search, splits["val"].fingerprint)
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        graph = _build(run, ALONE if trained else bn)
        controller = [v for v in tf.global_variables("controller/")]
        Restorer([*child_variables(), *controller]).restore(session, prefix)
        opened = run, bn, session, graph, splits
        yield TrainedAlone(trained, *opened) if trained else FinishedSearch(*opened)


def trainings_of(run: StoredRun, prefix: pathlib.Path) -> list[Any]:
    """What the trainings of a search came to whose architectures share no weights; else empty.

    Raises:
        CheckpointError: it has ended before the first of them had.
    """
    if not run.config.alone_epochs:
        return []
    trained = read_position(prefix).get("kept", {}).get(KEPT)
    if not trained:
        raise CheckpointError(f"{prefix}: no training of the search has come to its end; let it "
                              "go on by the same command")
    return trained


def _build(run: StoredRun, bn: str) -> _Graph:
    """Only the forms of the child that `bn` needs: each is thousands of operations in Python."""
    config = run.config.child.without_drops()
    side = run.config.data.img_size
    images = tf.placeholder(tf.uint8, [None, side, side, CHANNELS])
    arc = tf.placeholder(tf.int32, [space_of(config).decisions])
    bn_rate = tf.placeholder(tf.float32, [])
    evaluation = LayerMode(config.data_format, False, 0, precision=config.precision)
    training = evaluation._replace(is_training=True, moving_change=towards_batch(bn_rate))
    with_moving, with_batch = (
        None if bn in (ALONE, other) else logits_in_mode(images, arc, config, mode, None)
        for mode, other in ((evaluation, "batch"), (training, "moving")))
    weights = general_controller.controller_variables(run.config.controller, 0)
    sampler = networks_of(config).sampler
    count, seed = tf.placeholder(tf.int32, []), tf.placeholder(tf.int32, [2])
    return _Graph(
        images, arc, bn_rate, with_moving, with_batch, count, seed,
        general_controller.sample(count, seed, run.config.controller, weights, sampler).arcs,
        general_controller.most_likely(run.config.controller, weights, sampler).arcs)
