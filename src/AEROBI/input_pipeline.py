"""Packed images → batches, by tf.data (SPEC 3 and 12).

A stream is a pure function from a position to a batch: nothing random comes from anywhere but
(seed, name of the stream, epoch, position), so that a run continues at any position with the
batches it would have had.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI.packed_images import CHANNELS, PackedSplit
from AEROBI.seeds import seed_sequence

MODES = ("train", "eval", "reward", "random")
READERS, PREFETCHED = 2, 4  # batches read at once; batches that wait for a step
LAST_POSITION = np.iinfo(np.int64).max


@dataclass(frozen=True)
class StreamConfig:
    """What a stream delivers.

    Attributes:
        name: goes into the seeds, so that two streams differ.
        batch_size: images a batch.
        img_size: side of a patch, pixels.
        seed: of the run.
        mode: "train": epochs in which every image occurs once, augmented; "eval": one epoch in
            index order, centre crops; "reward": an endless shuffled queue in whole batches,
            centre crops; "random": the same, augmented (quirk random_eval).
        cutout_size: side of Cutout in pixels, or None.
    """

    name: str
    batch_size: int
    img_size: int
    seed: int
    mode: str
    cutout_size: int | None = None

    @property
    def augment(self) -> bool:
        """Random crops and flips."""
        return self.mode in ("train", "random")

    @property
    def whole_batches(self) -> bool:
        """An endless queue cut into batches, instead of epochs."""
        return self.mode in ("reward", "random")


class Stream(NamedTuple):
    """A stream in a static graph."""

    handle: tf.Tensor  # string [], for tf.data.Iterator.from_string_handle
    start: tf.Tensor  # int64 [], the position to start from; fed to
    initializer: tf.Operation
    batches_per_epoch: int
    output_types: tuple[tf.DType, tf.DType]
    output_shapes: tuple[tf.TensorShape, tf.TensorShape]


def batches_per_epoch(images: int, batch_size: int) -> int:
    """Batches in one pass over so many images; the last ones may be smaller."""
    return -(-images // batch_size)


def make_stream(split: PackedSplit, config: StreamConfig) -> Stream:
    """A stream of (uint8 [b, S, S, 3], uint8 [b, classes]) in the current graph."""
    start = tf.placeholder(tf.int64, [], f"{config.name}_start")
    batches = batches_per_epoch(len(split.labels), config.batch_size)
    end = batches if config.mode == "eval" else LAST_POSITION

    def load(position: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return load_batch(split, int(position), config)

    def load_op(position: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        images, labels = tf.numpy_function(load, [position], [tf.uint8, tf.uint8])
        images.set_shape([None, config.img_size, config.img_size, CHANNELS])
        labels.set_shape([None, split.labels.shape[1]])
        return images, labels

    data = tf.data.Dataset.range(start, end).map(load_op, READERS, deterministic=True)
    data = data.prefetch(PREFETCHED)
    iterator = tf.data.make_initializable_iterator(data)
    return Stream(iterator.string_handle(), start, iterator.initializer, batches,
                  tf.data.get_output_types(data), tf.data.get_output_shapes(data))


def load_batch(split: PackedSplit, position: int,
               config: StreamConfig) -> tuple[np.ndarray, np.ndarray]:
    """The batch at a position: uint8 [b, S, S, 3] and uint8 [b, classes]."""
    indices = batch_indices(len(split.labels), position, config)
    rng = np.random.default_rng(seed_sequence(config.seed, f"{config.name} patch", position))
    side = config.img_size
    images = np.empty((len(indices), side, side, CHANNELS), np.uint8)
    for patch, index in zip(images, indices):
        image = split.image(index)
        if config.augment:
            _random_patch(image, patch, rng)
            if config.cutout_size is not None:
                _cut_out(patch, config.cutout_size, rng)
        else:
            patch[...] = _centre(image, side)
    return images, split.labels[indices]


def batch_indices(images: int, position: int, config: StreamConfig) -> np.ndarray:
    """Which images the batch at a position holds, int64 [b].

    In epochs, batch i of m holds items [i n / m, (i + 1) n / m): every image once, and sizes
    that differ by at most one, so that no batch is too small for its BN statistics.
    """
    if config.whole_batches:
        items = np.arange(position * config.batch_size, (position + 1) * config.batch_size)
        return np.array([_order(images, int(item) // images, config)[item % images]
                         for item in items])
    batches = batches_per_epoch(images, config.batch_size)
    epoch, i = divmod(position, batches)
    return _order(images, epoch, config)[i * images // batches:(i + 1) * images // batches]


@functools.lru_cache(maxsize=16)
def _order(images: int, epoch: int, config: StreamConfig) -> np.ndarray:
    """The order of the images in an epoch, int64 [images]."""
    if config.mode == "eval":
        return np.arange(images)
    sequence = seed_sequence(config.seed, f"{config.name} order", epoch)
    return np.random.default_rng(sequence).permutation(images)


def _centre(image: np.ndarray, side: int) -> np.ndarray:
    """The square of `side` pixels in the middle."""
    top, left = ((extent - side) // 2 for extent in image.shape[:2])
    return image[top:top + side, left:left + side]


def _random_patch(image: np.ndarray, patch: np.ndarray, rng: np.random.Generator) -> None:
    """A random square of `image`, flipped with probability 1/2, into `patch`."""
    side = patch.shape[0]
    top, left = (rng.integers(extent - side, endpoint=True) for extent in image.shape[:2])
    window = image[top:top + side, left:left + side]
    patch[...] = window[:, ::-1] if rng.random() < 0.5 else window


def _cut_out(patch: np.ndarray, size: int, rng: np.random.Generator) -> None:
    """Zeros in a square around a random pixel, cut at the border (DeVries and Taylor, 2017)."""
    top, left = rng.integers(patch.shape[0], size=2) - size // 2
    patch[max(top, 0):max(top + size, 0), max(left, 0):max(left + size, 0)] = 0
