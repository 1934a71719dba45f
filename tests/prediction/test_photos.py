"""Photographs: found in any tree, read upright, cut as an evaluation cuts; in bounded memory."""

import io
import os
import random
import threading
import time

import numpy as np
import pytest
from codebrim_tree import smooth_image, write_tree
from PIL import Image, PngImagePlugin

from AEROBI.data.input_pipeline import StreamConfig, load_batch
from AEROBI.data.packed_images import open_packed
from AEROBI.data.threads import in_order
from AEROBI.data_utils import read_data_set
from AEROBI.prediction import photos
from AEROBI.prediction.photos import (
    Found,
    PhotoError,
    find,
    patch,
    read_list,
    read_photo,
    shown,
)

SIDE = 24
ORIENTATION = 0x0112
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")
# What a camera stored, from the upright picture; the inverse of what a viewer does (EXIF 2.3).
STORED = {
    1: lambda up: up, 2: lambda up: up[:, ::-1], 3: lambda up: up[::-1, ::-1],
    4: lambda up: up[::-1], 5: lambda up: up.swapaxes(0, 1),
    6: lambda up: np.rot90(up), 7: lambda up: np.rot90(up, 2).swapaxes(0, 1),
    8: lambda up: np.rot90(up, -1)}


def picture(height=30, width=40, seed=0):
    return smooth_image(height, width, np.random.default_rng(seed))


def written(path, image=None, **options):
    """A file with a picture; returns its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture() if image is None else image).save(path, **options)
    return str(path)


def below(names, **options):
    return [found.below for found in find(map(str, names), **options)]


def fails(path, *parts):
    with pytest.raises(PhotoError) as raised:
        read_photo(str(path))
    for part in (shown(str(path)), *parts):
        assert part in str(raised.value)
    assert "\n" not in str(raised.value)


# --- as in training --------------------------------------------------------------------


def test_the_patch_is_that_of_an_evaluation_bit_for_bit(tmp_path):
    tree = write_tree(tmp_path / "data", {
        "train": ((40, 50), (64, 32), (33, 33), (90, 41), (16, 20), (24, 200), (25, 24)),
        "val": ((45, 31), (30, 47)), "test": ((36, 36), (50, 99))})
    packed = open_packed(read_data_set(str(tree.root)), SIDE, str(tmp_path / "cache"))
    for split, images in packed.items():
        names = tree.of(split)
        expected, _ = load_batch(images, 0, StreamConfig("x", len(names), SIDE, 0, "eval"))
        for name, image in zip(names, expected):
            found = patch(read_photo(str(tree.root / name)), SIDE)
            assert found.dtype == np.uint8
            np.testing.assert_array_equal(found, image)


def test_a_patch_does_not_keep_its_photograph_alive(tmp_path):
    photo = read_photo(written(tmp_path / "x.png", picture(24, 400)))
    assert patch(photo, SIDE).base is None


# --- orientation -----------------------------------------------------------------------


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_photographs_are_turned_upright(tmp_path, orientation, kind):
    upright = picture()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = np.ascontiguousarray(STORED[orientation](upright))
    options = {"exif": exif, **({"quality": 100, "subsampling": 0} if kind == "jpg" else {})}
    path = written(tmp_path / f"x.{kind}", stored, **options)
    read = np.asarray(read_photo(path)).astype(int)
    assert read.shape == upright.shape
    assert np.abs(read - upright).max() <= (4 if kind == "jpg" else 0)


def test_grey_of_16_bits_is_turned_as_well(tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    grey = (np.arange(30 * 40, dtype=np.uint16) * 50).reshape(30, 40)
    path = written(tmp_path / "x.png", np.ascontiguousarray(np.rot90(grey)), exif=exif)
    np.testing.assert_array_equal(read_photo(path), np.repeat((grey >> 8)[..., None], 3, -1))


def test_damaged_exif_costs_nothing_but_the_turn(tmp_path):
    path = written(tmp_path / "x.jpg", exif=b"Exif\0\0MM\0*\0\0\xff\xff" + bytes(7))
    assert read_photo(path).size == (40, 30)


# --- kinds of pixels -------------------------------------------------------------------


@pytest.mark.parametrize("mode, kind", [
    ("L", "png"), ("LA", "png"), ("P", "png"), ("RGBA", "png"), ("1", "png"), ("L", "jpg"),
    ("CMYK", "jpg"), ("YCbCr", "jpg")])
def test_every_mode_becomes_rgb(tmp_path, mode, kind):
    original = Image.fromarray(picture()).convert(mode)
    path = tmp_path / f"x.{kind}"
    original.save(path)
    photo = read_photo(str(path))
    assert photo.mode == "RGB"
    expected = np.asarray(original.convert("RGB")).astype(int)
    assert np.abs(np.asarray(photo) - expected).mean() <= (4 if kind == "jpg" else 0)


def test_a_palette_with_a_transparent_colour(tmp_path):
    path = tmp_path / "x.png"
    Image.fromarray(picture()).convert("P").save(path, transparency=b"\0\x80")
    assert read_photo(str(path)).mode == "RGB"


def test_a_picture_of_a_stereo_camera(tmp_path):
    """JPEG with more pictures behind the first (MPO), as many telephones write it."""
    first = picture()
    Image.fromarray(first).save(tmp_path / "x.jpg", "MPO", save_all=True, quality=100,
                                append_images=[Image.fromarray(255 - first)])
    assert np.abs(np.asarray(read_photo(str(tmp_path / "x.jpg"))).astype(int) - first).max() < 30


# --- what is no photograph -------------------------------------------------------------


def test_a_truncated_jpeg(tmp_path):
    path = tmp_path / "x.jpg"
    written(path)
    os.truncate(path, path.stat().st_size // 2)
    fails(path, "does not decode", "truncated")


@pytest.mark.parametrize("content", [b"", b"This is a text.\n", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_image(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    fails(tmp_path / "x.png")


def test_other_formats_are_not_decoded_whatever_they_are_called(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "x.png", "GIF")
    fails(tmp_path / "x.png", "neither PNG nor JPEG")


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_without_permission(tmp_path):
    path = written(tmp_path / "x.png")
    os.chmod(path, 0)
    fails(path, "Permission denied")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.png")
    fails(tmp_path / "x.png", "no file")


def test_names_that_lead_nowhere(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "broken.png").symlink_to("gone.png")
    fails(tmp_path / "loop.png", "symbolic links")
    fails(tmp_path / "broken.png", "No such file")
    fails("a\0b.png")
    fails("x" * 5000, "too long")


def test_too_large_and_too_small(tmp_path, monkeypatch):
    monkeypatch.setattr(photos, "MOST_PIXELS", 1200)
    assert read_photo(written(tmp_path / "x.png", picture(30, 40))).size == (40, 30)
    fails(written(tmp_path / "x.png", picture(30, 41)), "41 x 30 pixels", "megapixels")
    fails(written(tmp_path / "x.png", picture(7, 40)), "at least 8")
    with pytest.raises(PhotoError, match="long and narrow"):
        patch(Image.new("RGB", (100, 8)), SIDE)


def test_text_chunks_do_not_fill_the_memory(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "x" * 3_000_000, zip=True)
    fails(written(tmp_path / "x.png", pnginfo=info), "does not decode")


# --- finding ---------------------------------------------------------------------------


def test_folders_with_everything_below_in_order(tmp_path):
    names = ["b/z.png", "b/a.JPG", "a.jpeg", "c.png", "b/c/d/e.png", "B.png", "ü ö/ñ.png",
             "new\nline.png", "b.png", "b/c/a.png"]
    random.Random(1).shuffle(names)
    for name in names:
        written(tmp_path / name)
    for other in ("notes.txt", ".hidden.png", "._a.jpeg", "b/Thumbs.db"):
        (tmp_path / other).write_bytes(b"")
    (tmp_path / ".git").mkdir()
    written(tmp_path / ".git/x.png")
    (tmp_path / "folder.png").mkdir()
    expected = ["B.png", "a.jpeg", "b/a.JPG", "b/c/a.png", "b/c/d/e.png", "b/z.png", "b.png",
                "c.png", "new\nline.png", "ü ö/ñ.png"]
    assert below([tmp_path]) == expected
    assert [os.path.relpath(found.path, tmp_path) for found in find([str(tmp_path)])] == expected
    assert below([tmp_path / "b", tmp_path / "c.png"]) == [
        "a.JPG", "c/a.png", "c/d/e.png", "z.png", "c.png"]


def test_names_that_are_no_text(tmp_path):
    name = os.fsdecode(b"\xe4.png")
    written(tmp_path / name)
    found, = find([str(tmp_path)])
    assert read_photo(found.path).size == (40, 30)
    assert shown(name) == "\\xe4.png" and shown("a\n\x1b[2J.png") == "a\\n\\x1b[2J.png"


def test_links_in_a_circle_and_many_ways_to_one_folder(tmp_path):
    written(tmp_path / "a/x.png")
    (tmp_path / "a/back").symlink_to(tmp_path)
    (tmp_path / "a/self").symlink_to(".")
    (tmp_path / "a/knot").symlink_to("knot")
    assert below([tmp_path]) == ["a/x.png"]
    for level in range(40):  # 2 ** 40 paths
        folder = tmp_path / f"way/{level}"
        folder.mkdir(parents=True)
        for side in "lr":
            (folder / side).symlink_to(f"../{level + 1}")
    written(tmp_path / "way/40/y.png")
    assert len(below([tmp_path / "way"])) == 1


def test_a_link_to_photographs_elsewhere_is_followed(tmp_path):
    written(tmp_path / "elsewhere/x.png")
    (tmp_path / "here").mkdir()
    (tmp_path / "here/link").symlink_to(tmp_path / "elsewhere")
    assert below([tmp_path / "here"]) == ["link/x.png"]


def test_a_deep_tree(tmp_path):
    deep = tmp_path
    for _ in range(1500):  # one by one: mkdir(parents=True) calls itself for each
        deep /= "d"
        deep.mkdir()
    written(deep / "x.png")
    assert below([tmp_path]) == ["/".join(["d"] * 1500 + ["x.png"])]
    # pytest deletes old folders by a function that calls itself for each: not this deep.
    (deep / "x.png").unlink()
    while deep != tmp_path:
        deep.rmdir()
        deep = deep.parent


def test_what_cannot_be_read_is_named(tmp_path):
    written(tmp_path / "a.png")
    (tmp_path / "b.tiff").write_bytes(b"")
    found = list(find([str(tmp_path), str(tmp_path / "gone")]))
    assert [item.problem is None for item in found] == [True, False, True]
    assert ".tiff" in found[1].problem
    assert list(find([str(tmp_path / "empty")])) == [Found(str(tmp_path / "empty"), "empty")]


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_folder_without_permission(tmp_path):
    (tmp_path / "a").mkdir(mode=0)
    found, = find([str(tmp_path)])
    assert found.below == "a" and "Permission denied" in found.problem


def test_nothing_is_read_from_the_excluded_folder(tmp_path):
    for name in ("a.png", "maps/a.png", "maps/deep/b.png", "mapsnot/c.png"):
        written(tmp_path / name)
    (tmp_path / "link").symlink_to("maps")
    (tmp_path / "link.png").symlink_to("maps/a.png")
    names = [tmp_path, tmp_path / "maps/a.png"]
    assert below(names, exclude=str(tmp_path / "maps")) == ["a.png", "mapsnot/c.png"]


def test_lists():
    lines = io.BytesIO("a.png\r\n\nb c.jpg\nü.png".encode() + b"\n\xe4.png")
    assert list(read_list(lines)) == ["a.png", "b c.jpg", "ü.png", os.fsdecode(b"\xe4.png")]
    with pytest.raises(PhotoError, match="one file name a line"):
        list(read_list(io.BytesIO(bytes(10**6))))


# --- in threads ------------------------------------------------------------------------


def test_in_order_with_a_bound():
    """However slow the reader, no more results are there than were agreed on."""
    lock, there, most = threading.Lock(), 0, 0

    def make(number):
        nonlocal there, most
        time.sleep(0.002 * (number % 3))  # they do not finish in order
        with lock:
            there += 1
            most = max(most, there)
        return number

    results = []
    for number in in_order(make, iter(range(120)), 3, 5):
        results.append(number)
        time.sleep(0.001)
        with lock:
            there -= 1
    assert results == list(range(120)) and there == 0
    assert 2 <= most <= 6


def test_items_are_taken_only_as_they_are_needed():
    numbers = []

    def items():
        for number in range(10**9):
            numbers.append(number)
            yield number

    results = in_order(abs, items(), 2, 4)
    assert next(results) == 0 and len(numbers) <= 6
    results.close()
    assert len(numbers) <= 6


def test_an_error_comes_in_its_turn():
    results = in_order(lambda number: 1 // number, [2, 1, 0, 5], 2, 2)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
