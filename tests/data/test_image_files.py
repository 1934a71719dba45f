"""One image file: its scaled size from the header, its pixels, and every way to be wrong."""

import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from codebrim_tree import smooth_image
from PIL import Image

from AEROBI.data import image_files
from AEROBI.data.image_files import decode, decode_all, scaled_size
from AEROBI.data_utils import DataError

SIDE = 24


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, data=b"", *chunks):
    """A PNG file that says it is this large, with so much (or little) of its pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join([
        png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", zlib.compress(data)),
        png_chunk(b"IEND", b"")])


def written(path, content):
    path.write_bytes(content)
    return str(path)


def fails(call, *parts):
    """A DataError with all `parts`, and no warning beside it."""
    with warnings.catch_warnings(), pytest.raises(DataError) as raised:
        warnings.simplefilter("error")
        call()
    for part in parts:
        assert str(part) in str(raised.value)


@pytest.mark.parametrize("width, height, expected", [
    (80, 80, (24, 24)), (100, 80, (24, 30)), (80, 100, (30, 24)), (8, 8, (24, 24)),
    (8, 100, (300, 24)), (24, 25, (25, 24)), (700, 500, (24, 34)), (501, 500, (24, 24))])
def test_scaled_size(tmp_path, width, height, expected):
    path = str(tmp_path / "x.png")
    Image.new("RGB", (width, height)).save(path)
    assert scaled_size(path, SIDE) == expected
    ratio = SIDE / min(width, height)
    assert np.abs(np.subtract(expected, (height * ratio, width * ratio))).max() <= 0.5
    image = decode(path, scaled_size(path, SIDE))
    assert image.shape == (*expected, 3) and image.dtype == np.uint8


def test_bilinear_of_pillow(tmp_path):
    original = Image.fromarray(smooth_image(61, 47, np.random.default_rng(0)))
    original.save(tmp_path / "x.png")
    expected = np.asarray(original.resize((SIDE, 31), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(decode(str(tmp_path / "x.png"), (31, SIDE)), expected)


# --- what is refused -------------------------------------------------------------------


@pytest.mark.parametrize("width, height", [
    (20000, 20000), (12000, 10000), (9000, 8000), (8, 3_000_000)])
def test_bombs_are_refused_by_their_header(tmp_path, width, height):
    path = written(tmp_path / "x.png", png(width, height))
    fails(lambda: scaled_size(path, SIDE), path, "too large", "crop it")


def test_16_bits(tmp_path):
    path = str(tmp_path / "x.png")
    Image.fromarray(np.full((30, 40), 40000, np.uint16)).save(path)
    fails(lambda: scaled_size(path, SIDE), path, "8 bits", "convert it to RGB")


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP"])
def test_another_type_under_a_false_name(tmp_path, kind):
    path = str(tmp_path / "x.png")
    Image.new("RGB", (30, 40)).save(path, kind)
    fails(lambda: scaled_size(path, SIDE), path, "neither PNG nor JPEG")


@pytest.mark.parametrize("kind", [b"pHYs", b"gAMA", b"zTXt", b"tRNS"])
def test_broken_chunks(tmp_path, kind):
    content = png(20, 20, bytes(61 * 20), png_chunk(kind, b"\0"))
    path = written(tmp_path / "x.png", content)
    try:
        decode(path, scaled_size(path, SIDE))
    except DataError as error:
        assert path in str(error)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("share", [0, 0.05, 0.3, 0.9])
def test_cut_off(tmp_path, kind, share):
    path = tmp_path / "x.png"
    Image.fromarray(smooth_image(60, 70, np.random.default_rng(1))).save(path, kind)
    content = path.read_bytes()
    path.write_bytes(content[:int(share * len(content))])
    fails(lambda: decode(str(path), scaled_size(str(path), SIDE)), path, "does not decode",
          "copy it again")


# --- many ------------------------------------------------------------------------------


@pytest.fixture
def many(tmp_path):
    """Image i is of the colour i."""
    paths = [str(tmp_path / f"{i}.png") for i in range(60)]
    for i, path in enumerate(paths):
        Image.new("RGB", (SIDE, SIDE), (i, i, i)).save(path)
    return paths


def test_in_order_and_a_few_at_a_time(many, monkeypatch):
    monkeypatch.setattr(image_files.os, "cpu_count", lambda: 3)
    lock, started, finished, most = threading.Lock(), [], 0, 0

    def counted(path, *how):
        with lock:
            started.append(path)
        return decode(path, *how)

    monkeypatch.setattr(image_files, "decode", counted)
    for i, image in enumerate(decode_all(many, [(SIDE, SIDE)] * len(many))):
        assert (image == i).all()
        with lock:
            finished, most = finished + 1, max(most, len(started) - finished)
    assert sorted(started) == sorted(many)
    assert most <= image_files.DECODED_AHEAD * 3


def test_the_first_bad_image_ends_it(many):
    with open(many[31], "wb") as file:
        file.write(png(SIDE, SIDE))
    found = decode_all(many, [(SIDE, SIDE)] * len(many))
    assert [int(next(found)[0, 0, 0]) for _ in range(31)] == list(range(31))
    fails(lambda: next(found), many[31], "does not decode")
    assert list(found) == []
