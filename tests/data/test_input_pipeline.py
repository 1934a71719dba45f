"""Packed images -> batches: what each mode delivers, and that only the position decides."""

import dataclasses

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from codebrim_tree import write_tree
from tensorflow.core.framework import dataset_options_pb2

from AEROBI.data import input_pipeline
from AEROBI.data.input_pipeline import (
    MODES,
    StreamConfig,
    batch_indices,
    choose_windows,
    load_batch,
    make_stream,
)
from AEROBI.data.packed_images import PackedSplit, open_packed
from AEROBI.data_utils import read_data_set
from AEROBI.tf_setup import session_config

SIDE = 8
CASES = [(1, 1), (1, 4), (5, 5), (10, 4), (17, 5), (64, 7), (23, 30)]


def packed(images, labels=None):
    """A PackedSplit in memory."""
    sizes = np.array([image.shape[:2] for image in images], np.int32)
    lengths = [image.size for image in images]
    labels = np.zeros((len(images), 6), np.uint8) if labels is None else labels
    return PackedSplit(np.concatenate([image.ravel() for image in images]),
                       np.cumsum([0, *lengths[:-1]]), sizes[:, 0], sizes[:, 1], labels)


def numbered(count):
    """Image i has the value i everywhere, and the bits of i as labels."""
    images = [np.full((SIDE + i % 3, SIDE + i % 2, 3), i, np.uint8) for i in range(count)]
    return packed(images, (np.arange(count)[:, None] >> np.arange(6) & 1).astype(np.uint8))


def config(mode="train", batch_size=4, seed=1, name="stream", **more):
    return StreamConfig(name, batch_size, SIDE, seed, mode, **more)


def numbers(images, labels):
    """Which images of `numbered` a batch holds; every pixel and label must agree."""
    found = images[:, 0, 0, 0].astype(int)
    assert images.dtype == labels.dtype == np.uint8
    assert (images == images[:, :1, :1, :1]).all()
    np.testing.assert_array_equal(labels @ (1 << np.arange(6)), found)
    return found.tolist()


def loaded(split, settings, positions):
    return [numbers(*load_batch(split, position, settings)) for position in positions]


def joined(batches):
    return [number for batch in batches for number in batch]


# --- which images ----------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("count, batch_size", CASES)
def test_every_image_once_per_epoch(mode, count, batch_size):
    split, settings = numbered(count), config(mode, batch_size)
    batches = input_pipeline.batches_per_epoch(count, batch_size)
    assert (batches - 1) * batch_size < count <= batches * batch_size
    for epoch in range(3 if mode == "train" else 1):
        found = loaded(split, settings, range(epoch * batches, (epoch + 1) * batches))
        sizes = [len(batch) for batch in found]
        assert max(sizes) <= batch_size and max(sizes) - min(sizes) <= 1
        assert sorted(joined(found)) == list(range(count))
        if mode == "eval":
            assert joined(found) == list(range(count))


@pytest.mark.parametrize("mode", ["reward", "random"])
@pytest.mark.parametrize("count, batch_size", CASES)
def test_queue_of_whole_batches(mode, count, batch_size):
    found = loaded(numbered(count), config(mode, batch_size), range(3 * count))
    assert {len(batch) for batch in found} == {batch_size}
    queue = np.reshape(found, (-1, count))
    for items in queue:
        assert sorted(items) == list(range(count))
    if count > 9:
        assert not (queue[0] == queue[1]).all()


@pytest.mark.parametrize("mode", ["train", "reward"])
def test_order_is_shuffled_anew_each_epoch(mode):
    first, second = np.reshape(loaded(numbered(60), config(mode, 6), range(20)), (2, 60))
    assert not (first == second).all()
    for order in (first, second):
        assert np.abs(np.corrcoef(order, np.arange(60))[0, 1]) < 0.5


def test_every_place_is_equally_likely():
    firsts = [batch_indices(5, 5 * epoch, config(batch_size=1))[0] for epoch in range(1000)]
    assert np.abs(np.bincount(firsts, minlength=5) - 200).max() < 60


# --- a pure function of position -------------------------------------------------------


def noise(count=11, seed=0):
    rng = np.random.default_rng(seed)
    return packed([rng.integers(1, 255, (SIDE + i, SIDE + 2 * i % 5, 3), np.uint8)
                   for i in range(count)], rng.integers(0, 2, (count, 6), np.uint8))


def same(patches, other):
    return all(a.shape == b.shape and (a == b).all() for a, b in zip(patches, other, strict=True))


@pytest.mark.parametrize("mode", MODES)
def test_a_batch_depends_on_its_position_only(mode):
    split, settings = noise(), config(mode, cutout_size=3)
    positions = range(3 if mode == "eval" else 9)
    forward = [load_batch(split, position, settings) for position in positions]
    input_pipeline._order.cache_clear()
    np.random.seed(7)
    backward = [load_batch(split, position, settings) for position in reversed(positions)]
    assert all(same(*pair) for pair in zip(forward, reversed(backward), strict=True))
    assert not same(forward[0], forward[1])


@pytest.mark.parametrize("change", [{"seed": 2}, {"name": "other"}])
def test_seeds_and_names_differ(change):
    split, settings = noise(), config()
    other = dataclasses.replace(settings, **change)
    assert loaded(numbered(40), settings, range(9)) != loaded(numbered(40), other, range(9))
    single = packed([noise().image(10)])  # only one order: the patches themselves
    patches = [[load_batch(single, i, stream_config)[0] for i in range(9)]
               for stream_config in (settings, other)]
    assert not same(*patches)
    assert not same(load_batch(split, 0, settings), load_batch(split, 0, other))


# --- patches, against slow twins -------------------------------------------------------


def places(height, width):
    """Every pixel holds its row, its column and 255."""
    image = np.full((height, width, 3), 255, np.uint8)
    image[..., 0], image[..., 1] = np.mgrid[:height, :width]
    return image


@pytest.mark.parametrize("mode", ["eval", "reward"])
@pytest.mark.parametrize("height, width", [(8, 8), (8, 9), (13, 8), (8, 10), (20, 8), (9, 11)])
def test_centre_crop(mode, height, width):
    image = places(height, width)
    patch = load_batch(packed([image]), 0, config(mode, 1, cutout_size=4))[0][0]
    for y in range(SIDE):
        for x in range(SIDE):
            source = image[y + (height - SIDE) // 2, x + (width - SIDE) // 2]
            np.testing.assert_array_equal(patch[y, x], source)


def random_patches(image, count, **more):
    settings = config("random", count, **more)
    return load_batch(packed([image]), 0, settings)[0]


@pytest.mark.parametrize("height, width", [(8, 12), (11, 8), (8, 8)])
def test_random_crops_and_flips(height, width):
    image = places(height, width)
    tops, lefts, flips = [], [], []
    for patch in random_patches(image, 600):
        flips.append(patch[0, 0, 1] > patch[0, 1, 1])
        window = patch[:, ::-1] if flips[-1] else patch
        top, left = window[0, 0, :2]
        np.testing.assert_array_equal(window, image[top:top + SIDE, left:left + SIDE])
        tops.append(top)
        lefts.append(left)
    assert 0.42 < np.mean(flips) < 0.58
    for found, extent in ((tops, height), (lefts, width)):
        choices = extent - SIDE + 1
        counts = np.bincount(found, minlength=choices)
        assert len(counts) == choices
        assert np.abs(counts - 600 / choices).max() < 60
    if width > SIDE:
        assert np.abs(np.corrcoef(lefts, flips)[0, 1]) < 0.15


def slow_cut_out(patch, size, centre_y, centre_x):
    cut = patch.copy()
    for y in range(patch.shape[0]):
        for x in range(patch.shape[1]):
            if (-(size // 2) <= y - centre_y < size - size // 2
                    and -(size // 2) <= x - centre_x < size - size // 2):
                cut[y, x] = 0
    return cut


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 15, 16, 17, 40])
def test_cutout(size):
    white = np.full((SIDE, SIDE, 3), 255, np.uint8)
    expected = {}
    for y in range(SIDE):
        for x in range(SIDE):
            expected.setdefault(slow_cut_out(white, size, y, x).tobytes(), 0)
            expected[slow_cut_out(white, size, y, x).tobytes()] += 1 / SIDE ** 2
    count = 2000
    found = dict.fromkeys(expected, 0)
    for patch in random_patches(white, count, cutout_size=size):
        found[patch.tobytes()] += 1  # a KeyError: no centre cuts this out
    for key, share in expected.items():
        assert abs(found[key] - share * count) <= 6 * np.sqrt(share * count)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("size", [None, 5])
def test_patches_are_those_of_the_windows(mode, size):
    split, settings = noise(), config(mode, 6, cutout_size=size)
    for position in range(2):
        indices = batch_indices(11, position, settings)
        windows = choose_windows(split, indices, position, settings)
        patches, labels = load_batch(split, position, settings)
        for i, index in enumerate(indices):
            image, columns = split.image(index), range(SIDE)
            expected = np.array([[image[windows.top[i] + y, windows.left[i] + x] for x in (
                reversed(columns) if windows.flip[i] else columns)] for y in range(SIDE)])
            if windows.hole is not None:
                expected = slow_cut_out(expected, size, *windows.hole[i])
            np.testing.assert_array_equal(patches[i], expected)
            np.testing.assert_array_equal(labels[i], split.labels[index])


def test_cutout_only_with_augmentation_and_only_if_wanted():
    white = packed([np.full((SIDE, SIDE, 3), 255, np.uint8)])
    for mode in MODES:
        assert load_batch(white, 0, config(mode))[0].all()
        assert load_batch(white, 0, config(mode, cutout_size=4))[0].all() == (
            mode in ("eval", "reward"))


def test_the_packed_images_stay_as_they_are():
    split = noise()
    before = split.pixels.copy()
    for position in range(6):
        images, labels = load_batch(split, position, config(cutout_size=4))
        images[...] = 0
        labels[...] = 9
    np.testing.assert_array_equal(split.pixels, before)
    assert split.labels.max() == 1


# --- what is refused -------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"mode": "valid"}, {"batch_size": 0}, {"cutout_size": -1},
                                   {"seed": -1}])
def test_settings_that_no_stream_can_have(wrong):
    field, = wrong
    with pytest.raises(ValueError, match=f"stream stream: {field}"):
        config(**wrong)


@pytest.mark.parametrize("mode, position", [("eval", 3), ("train", -1), ("reward", -1)])
def test_no_such_batch(mode, position):
    with pytest.raises(ValueError, match=f"stream stream: there is no batch {position}"):
        load_batch(noise(), position, config(mode))


def test_image_smaller_than_a_patch():
    split = packed([np.zeros((SIDE, SIDE, 3), np.uint8), np.zeros((SIDE, SIDE - 1, 3), np.uint8)])
    for call in (make_stream, lambda split, settings: load_batch(split, 0, settings)):
        with pytest.raises(ValueError, match=f"image 1 is packed with {SIDE - 1} pixels"):
            call(split, config("eval"))


def test_an_error_in_the_session_can_be_read():
    with pytest.raises(tf.errors.InvalidArgumentError, match="stream: there is no batch -1"):
        streamed(noise(), config(), -1, 1)


# --- the stream in a session -----------------------------------------------------------


def streamed(split, settings, start, count=None):
    """`count` batches from position `start`, or all, through a string handle."""
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        stream = make_stream(split, settings)
        handle = tf.placeholder(tf.string, [])
        fetches = tf.data.Iterator.from_string_handle(
            handle, stream.output_types, stream.output_shapes).get_next()
        feed = {handle: session.run(stream.handle)}
        session.run(stream.initializer, {stream.start: start})
        batches = []
        try:
            while len(batches) != count:
                batches.append(session.run(fetches, feed))
        except tf.errors.OutOfRangeError:
            pass
        return batches


@pytest.mark.parametrize("mode", MODES)
def test_stream_delivers_the_batches_in_order(mode):
    split, settings = noise(), config(mode, cutout_size=3)
    count = 3 if mode == "eval" else 10
    from_start = streamed(split, settings, 0, count)
    for position in range(count):
        assert same(from_start[position], load_batch(split, position, settings))
    for start in (1, count - 1):
        later = streamed(split, settings, start, count - start)
        assert len(later) == count - start
        assert all(same(*pair) for pair in zip(later, from_start[start:], strict=True))


def test_eval_stream_ends_and_starts_again():
    split, settings = numbered(10), config("eval")
    stream = make_stream(split, settings)
    fetches = tf.data.Iterator.from_string_handle(
        stream.handle, stream.output_types, stream.output_shapes).get_next()
    with tf.Session(config=session_config()) as session:
        for _ in range(2):
            session.run(stream.initializer, {stream.start: 0})
            found = [numbers(*session.run(fetches)) for _ in range(stream.batches_per_epoch)]
            assert joined(found) == list(range(10))
            with pytest.raises(tf.errors.OutOfRangeError):
                session.run(fetches)


@pytest.mark.parametrize("mode", ["train", "reward", "random"])
def test_far_positions(mode):
    position = 10 ** 9
    batch, = streamed(noise(), config(mode), position, 1)
    assert same(batch, load_batch(noise(), position, config(mode)))


def test_static_shapes_and_types():
    stream = make_stream(noise(), config())
    assert stream.output_types == (tf.uint8, tf.uint8)
    assert [shape.as_list() for shape in stream.output_shapes] == [[None, SIDE, SIDE, 3], [None, 6]]
    assert stream.batches_per_epoch == 3
    assert stream.handle.dtype == tf.string


def test_one_handle_switches_between_streams():
    split = numbered(12)
    settings = [config("train", name="a"), config("eval", 3, name="b"), config("reward", name="c")]
    streams = [make_stream(split, stream_config) for stream_config in settings]
    handle = tf.placeholder(tf.string, [])
    fetches = tf.data.Iterator.from_string_handle(
        handle, streams[0].output_types, streams[0].output_shapes).get_next()
    with tf.Session(config=session_config()) as session:
        handles = session.run([stream.handle for stream in streams])
        for stream in streams:
            session.run(stream.initializer, {stream.start: 1})
        for position in (1, 2, 3):  # in turns: no stream moves another
            for stream_config, value in zip(settings, handles):
                found = numbers(*session.run(fetches, {handle: value}))
                assert found == numbers(*load_batch(split, position, stream_config))


def test_no_stream_starts_a_thread_that_tunes_it(graph):
    """A session that closes would wait for it, at times for half a minute."""
    make_stream(numbered(4), config())
    [given] = [op for op in graph.get_operations() if op.type == "OptionsDataset"]
    autotune = dataset_options_pb2.Options.FromString(
        given.get_attr("serialized_options")).autotune_options
    assert autotune.HasField("enabled") and not autotune.enabled


def test_from_disk_to_batch(tmp_path):
    tree = write_tree(tmp_path / "data")
    splits = open_packed(read_data_set(str(tree.root)), SIDE, str(tmp_path / "cache"))
    batches = streamed(splits["train"], config("eval", 2), 0)
    labels = np.concatenate([labels for _, labels in batches])
    np.testing.assert_array_equal(labels, [tree.labels[name] for name in tree.of("train")])
    assert [len(images) for images, _ in batches] == [1, 2, 2]
    for i, image in enumerate(image for images, _ in batches for image in images):
        whole = splits["train"].image(i)
        top, left = (whole.shape[0] - SIDE) // 2, (whole.shape[1] - SIDE) // 2
        np.testing.assert_array_equal(image, whole[top:top + SIDE, left:left + SIDE])
