"""What a flag of the command line does to the streams of a run."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from AEROBI.data.packed_images import PackedSplit
from AEROBI.data.streams import make_streams
from AEROBI.data_utils import CLASS_NAMES
from AEROBI.flags import table
from AEROBI.flags.resolve import resolve

SIDE, IMAGES = 16, 8
FLAGS = ["--data_path=d", "--output_dir=o", f"--img_size={SIDE}", f"--batch_size={IMAGES}",
         "--controller_search_whole_channels"]


@pytest.mark.parametrize("words, cut", [([], False), (["--child_cutout_size=5"], True)])
def test_cutout_size_is_of_training_patches_alone(words, cut, session):
    """White images: what a batch has of zeros was cut out."""
    white = PackedSplit(
        np.full(IMAGES * SIDE * SIDE * 3, 255, np.uint8), np.arange(IMAGES) * SIDE * SIDE * 3,
        np.full(IMAGES, SIDE), np.full(IMAGES, SIDE), np.zeros((IMAGES, 6), np.uint8))
    config = resolve(table.parse([*FLAGS, *words]), CLASS_NAMES, "NHWC")
    streams = make_streams({"train": white, "val": white, "test": white}, config)
    handle = tf.placeholder(tf.string, [])
    images, _ = tf.data.Iterator.from_string_handle(
        handle, streams.train.output_types, streams.train.output_shapes).get_next()
    run = session()
    for name, stream in streams._asdict().items():
        run.run(stream.initializer, {stream.start: 0})
        zeros = (run.run(images, {handle: run.run(stream.handle)}) == 0).sum((1, 2, 3))
        assert (zeros > 0).all() == (cut and name == "train")
        assert zeros.max() <= (5 * 5 * 3 if cut and name == "train" else 0)
