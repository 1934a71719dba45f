"""The four streams of batches that a run reads, of one type and shape."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from AEROBI.config import RunConfig
from AEROBI.data.input_pipeline import Stream, StreamConfig, make_stream
from AEROBI.data.packed_images import PackedSplit


class Streams(NamedTuple):
    """The streams of batches of a run; all have the same types and shapes."""

    train: Stream
    val: Stream
    test: Stream
    reward: Stream  # shuffled validation batches


def make_streams(splits: Mapping[str, PackedSplit], config: RunConfig, worker: int = 0,
                 workers: int = 1) -> Streams:
    """The streams of a run, in the current graph; training batches are those of one worker."""
    data = config.data
    base = StreamConfig(name="train", batch_size=data.batch_size, img_size=data.img_size,
                        seed=config.seed, mode="train", cutout_size=data.cutout_size)
    evaluation = "random" if data.random_eval else "eval"
    reward = "random" if data.random_eval else "reward"

    def stream(split: str, name: str, mode: str, batch_size: int = data.batch_size) -> Stream:
        return make_stream(splits[split], dataclasses.replace(
            base, name=name, mode=mode, cutout_size=None, batch_size=batch_size))

    train = dataclasses.replace(
        base, batch_size=workers * data.batch_size, worker=worker, workers=workers)
    return Streams(make_stream(splits["train"], train), stream("val", "val", evaluation),
                   stream("test", "test", evaluation),
                   stream("val", "reward", reward, config.reward_images))
