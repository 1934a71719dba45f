"""Packed images → batches, by tf.data.

A stream is a pure function from a position to a batch: nothing random comes from anywhere but
(seed, name of the stream, epoch, position), so that a run continues at any position with the
batches it would have had.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI.data.packed_images import CHANNELS, PackedSplit
from AEROBI.data.patches import centre_corner, cut
from AEROBI.seeds import seed_sequence

MODES = ("train", "eval", "reward", "random")
READERS, PREFETCHED = 2, 4  # batches read at once; batches that wait for a step
LAST_POSITION = np.iinfo(np.int64).max


@dataclass(frozen=True)
class StreamConfig:
    """Which batches a stream delivers: their size, their order, how images are cut.

    Attributes:
        name: goes into the seeds, so that two streams differ.
        batch_size: images a batch.
        img_size: side S of a patch, pixels.
        seed: of the run.
        mode: "train": epochs in which every image occurs once, augmented; "eval": one epoch in
            index order, centre crops; "reward": an endless shuffled queue in whole batches,
            centre crops; "random": the same, augmented (quirk random_eval).
        cutout_size: side of Cutout in pixels, or None; only where patches are augmented.
        worker, workers: each batch is shared among so many workers, and this one's part is
            delivered; `batch_size` is that of all parts together.

    Raises:
        ValueError: a value that no stream can have.
    """

    name: str
    batch_size: int
    img_size: int
    seed: int
    mode: str
    cutout_size: int | None = None
    worker: int = 0
    workers: int = 1

    def __post_init__(self) -> None:
        """Refuses what no stream can have."""
        if self.mode not in MODES:
            raise ValueError(f"stream {self.name}: mode {self.mode!r} is not one of {MODES}")
        least = {"batch_size": 1, "img_size": 1, "seed": 0, "cutout_size": 0}
        for field, smallest in least.items():
            value = getattr(self, field)
            if value is not None and value < smallest:
                raise ValueError(f"stream {self.name}: {field} is {value}, not {smallest} or more")

    @property
    def augment(self) -> bool:
        """Whether crops and flips are random: in training, and with the quirk random_eval."""
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
    images: int  # in the split
    batches_per_epoch: int
    output_types: tuple[tf.DType, tf.DType]
    output_shapes: tuple[tf.TensorShape, tf.TensorShape]


class Windows(NamedTuple):
    """What of each image becomes its patch; b images."""

    top: np.ndarray  # int64 [b], pixels
    left: np.ndarray  # int64 [b], pixels
    flip: np.ndarray  # bool [b], left-right
    hole: np.ndarray | None  # int64 [b, 2], (y, x) in the patch, centre of Cutout


def batches_per_epoch(images: int, batch_size: int) -> int:
    """Batches in one pass over so many images; the last ones may be smaller."""
    return -(-images // batch_size)


def make_stream(split: PackedSplit, config: StreamConfig) -> Stream:
    """A stream of (uint8 [b, S, S, 3], uint8 [b, classes]) in the current graph.

    Raises:
        ValueError: an image is smaller than a patch.
    """
    _check_sizes(split, np.arange(len(split.labels)), config)
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
    data = data.prefetch(PREFETCHED).with_options(_untuned())
    iterator = tf.data.make_initializable_iterator(data)
    return Stream(iterator.string_handle(), start, iterator.initializer,
                  len(split.labels), batches,
                  tf.data.get_output_types(data), tf.data.get_output_shapes(data))


def _untuned() -> tf.data.Options:
    """No thread that tunes a stream: all its numbers are fixed.

    When a session closes it waits for that thread, which may sleep through the call to end: for up
    to a minute, seen as ends of tiny runs that took half a minute.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return options


def load_batch(split: PackedSplit, position: int,
               config: StreamConfig) -> tuple[np.ndarray, np.ndarray]:
    """The batch at a position: uint8 [b, S, S, 3] and uint8 [b, classes].

    Raises:
        ValueError: there is no such position, or an image is smaller than a patch.
    """
    indices = batch_indices(len(split.labels), position, config)
    windows = choose_windows(split, indices, position, config)
    if config.workers > 1:
        rows = part_of(len(indices), config.worker, config.workers)
        indices = indices[rows]
        windows = Windows(*(None if values is None else values[rows] for values in windows))
    side = config.img_size
    patches = np.empty((len(indices), side, side, CHANNELS), np.uint8)
    for i, (index, top, left) in enumerate(zip(indices, windows.top, windows.left)):
        window = cut(split.image(index), (top, left), side)
        if windows.flip[i]:
            # Channel by channel numpy turns a row round six times as fast.
            for channel in range(CHANNELS):
                patches[i, :, :, channel] = window[:, ::-1, channel]
        else:
            patches[i] = window
        if windows.hole is not None:
            _cut_out(patches[i], windows.hole[i], config.cutout_size)
    return patches, split.labels[indices]


def part_of(images: int, worker: int, workers: int) -> slice:
    """A worker's rows of a batch of so many images: each in one part, parts alike in size."""
    return slice(worker * images // workers, (worker + 1) * images // workers)


def batch_indices(images: int, position: int, config: StreamConfig) -> np.ndarray:
    """Which images the batch at a position holds, int64 [b].

    In epochs, batch i of m holds items [i n / m, (i + 1) n / m): every image once, and sizes
    that differ by at most one, so that no batch is too small for its BN statistics.
    """
    batches = batches_per_epoch(images, config.batch_size)
    if position < 0 or (config.mode == "eval" and position >= batches):
        raise ValueError(f"stream {config.name}: there is no batch {position}, one of "
                         f"0 to {batches - 1} was expected")
    if config.whole_batches:
        first = position * config.batch_size
        epoch, skipped = divmod(first, images)
        epochs = range(epoch, (first + config.batch_size - 1) // images + 1)
        queue = np.concatenate([_order(images, number, config) for number in epochs])
        return queue[skipped:skipped + config.batch_size]
    epoch, i = divmod(position, batches)
    return _order(images, epoch, config)[i * images // batches:(i + 1) * images // batches]


@functools.lru_cache(maxsize=16)
def _order(images: int, epoch: int, config: StreamConfig) -> np.ndarray:
    """The order of the images in an epoch, int64 [images]."""
    if config.mode == "eval":
        order = np.arange(images)
    else:
        sequence = seed_sequence(config.seed, f"{config.name} order", epoch)
        order = np.random.default_rng(sequence).permutation(images)
    order.setflags(write=False)  # it is shared by all batches of the epoch
    return order


def choose_windows(split: PackedSplit, indices: np.ndarray, position: int,
                   config: StreamConfig) -> Windows:
    """Random or centre windows for the images `indices` of the batch at a position."""
    _check_sizes(split, indices, config)
    count, side = len(indices), config.img_size
    size = np.stack([split.heights[indices], split.widths[indices]]).astype(np.int64)
    rng = np.random.default_rng(seed_sequence(config.seed, f"{config.name} patch", position))
    if config.augment:
        top, left = rng.integers(size - side, endpoint=True)
        flip = rng.random(count) < 0.5
    else:
        (top, left), flip = centre_corner(*size, side), np.zeros(count, bool)
    cutout = config.augment and config.cutout_size
    hole = rng.integers(side, size=(count, 2)) if cutout else None
    return Windows(top, left, flip, hole)


def _cut_out(patch: np.ndarray, centre: np.ndarray, size: int) -> None:
    """Zeros in a square around `centre`, cut at the border (DeVries and Taylor, 2017)."""
    top, left = centre - size // 2
    patch[max(top, 0):max(top + size, 0), max(left, 0):max(left + size, 0)] = 0


def _check_sizes(split: PackedSplit, indices: np.ndarray, config: StreamConfig) -> None:
    shorter = np.minimum(split.heights[indices], split.widths[indices])
    if (shorter < config.img_size).any():
        raise ValueError(
            f"stream {config.name}: image {indices[shorter.argmin()]} is packed with "
            f"{shorter.min()} pixels on its shorter side, but a patch has {config.img_size}; "
            "pack the images for this patch size")
