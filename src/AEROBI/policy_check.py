"""Does the controller prefer anything? Its samples against uniformly random architectures.

Both are scored with the same shared weights on the whole validation split, so that the only
difference is who chose the architectures (SPEC 6).
"""

import dataclasses
import json
import logging
import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI import flags, metrics
from AEROBI.architecture import Architecture
from AEROBI.checkpoints import Checkpoints
from AEROBI.config import ConfigError, RunConfig
from AEROBI.data_utils import read_data_set
from AEROBI.input_pipeline import StreamConfig, batches_per_epoch, load_batch
from AEROBI.packed_images import PackedSplit, open_packed
from AEROBI.resolve import resolve
from AEROBI.run_graph import ChildGraph, ControllerGraph, build_child, build_controller
from AEROBI.seeds import seed_pair
from AEROBI.session import session_config
from AEROBI.training import make_streams

log = logging.getLogger(__name__)


class Comparison(NamedTuple):
    """Exact match of each architecture on the validation split."""

    controller: np.ndarray  # float64 [n]
    random: np.ndarray  # float64 [n]

    def summary(self) -> str:
        """Means, and the difference with its standard error."""
        difference = self.controller.mean() - self.random.mean()
        error = np.sqrt((self.controller.var(ddof=1) + self.random.var(ddof=1))
                        / len(self.controller))
        return (f"mean exact match of {len(self.controller)} architectures each, same weights: "
                f"controller {self.controller.mean():.4f}, random {self.random.mean():.4f}, "
                f"difference {difference:+.4f} (standard error {error:.4f})")


def stored_config(run_dir: pathlib.Path) -> RunConfig:
    """The configuration a run was made with.

    Raises:
        ConfigError: no search has written into the folder.
    """
    try:
        record = json.loads((run_dir / "config.json").read_text())
        values = record["configuration"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{run_dir}: holds no run ({error}); name the --output_dir of a "
                          "search") from None
    config = resolve({**flags.parse([]), **values})
    if config.child.fixed_arc is not None:
        raise ConfigError(f"{run_dir}: is a final training, not a search")
    return config


def compare(run_dir: pathlib.Path, count: int) -> Comparison:
    """Scores `count` architectures of the trained controller and as many random ones.

    Raises:
        ConfigError: not a search with a checkpoint.
        DataError: its data set cannot be read.
    """
    config = stored_config(run_dir)
    data_set = read_data_set(config.data.data_path)
    config = dataclasses.replace(config, child=dataclasses.replace(
        config.child, num_classes=len(data_set.class_names)))
    splits = open_packed(data_set, config.data.img_size, config.data.cache_dir)
    with _restored(run_dir, config, splits) as (session, child, controller):
        rng = np.random.default_rng(config.seed)
        drawn = session.run(controller.drawn, {
            controller.count: count,
            controller.seed: seed_pair(config.seed, "policy check")})
        layers, branches = config.child.num_layers, config.child.num_branches
        random = [Architecture.random(layers, rng, branches).numbers() for _ in range(count)]
        batches = list(_batches(splits["val"], config))
        return Comparison(*(
            np.array([_exact_match(session, child, arc, batches) for arc in arcs])
            for arcs in (drawn, random)))


@contextmanager
def _restored(run_dir: pathlib.Path, config: RunConfig, splits: dict[str, PackedSplit]
              ) -> Iterator[tuple[tf.Session, ChildGraph, ControllerGraph]]:
    """A session with the weights of the newest checkpoint."""
    with tf.Graph().as_default():
        streams = make_streams(splits, config)
        child = build_child(config, streams.train.output_types, streams.train.output_shapes)
        controller = build_controller(config.controller, config.seed)
        checkpoints = Checkpoints(str(run_dir / "checkpoints"), tf.global_variables())
        with tf.Session(config=session_config()) as session:
            if checkpoints.restore_latest(session) is None:
                raise ConfigError(f"{run_dir}: has no checkpoint yet; let the search go on")
            yield session, child, controller


def _batches(split: PackedSplit, config: RunConfig) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    stream = StreamConfig("check", 64, config.data.img_size, config.seed, "eval")
    for position in range(batches_per_epoch(len(split.labels), stream.batch_size)):
        yield load_batch(split, position, stream)


def _exact_match(session: tf.Session, child: ChildGraph, arc: np.ndarray,
                 batches: list[tuple[np.ndarray, np.ndarray]]) -> float:
    right = []
    for images, labels in batches:
        logits = session.run(child.evaluation.logits, {child.images: images, child.arc: arc})
        right.append(metrics.exact_matches(logits, labels))
    return float(np.concatenate(right).mean())
