"""The decoded copy of a data set: content, reuse, and a file that is whole or absent."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from codebrim_tree import SIZES, smooth_image, write_csv, write_tree
from PIL import Image

from AEROBI.data import image_files, packed_images
from AEROBI.data_utils import SPLITS, DataError, read_data_set

SIDE = 24
SECONDS = 30  # for another process to get somewhere
SOURCE = pathlib.Path(packed_images.__file__).parents[2]


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "data")


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


def pack(tree, cache, side=SIDE):
    return packed_images.open_packed(read_data_set(str(tree.root)), side, str(cache))


def packed_file(cache):
    file, = cache.iterdir()
    return file


def assert_is_tree(packed, tree, side=SIDE):
    """Sizes, content and labels are those of the images on disk."""
    assert set(packed) == set(SPLITS)
    for split in SPLITS:
        names = tree.of(split)
        np.testing.assert_array_equal(packed[split].labels, [tree.labels[n] for n in names])
        for i, name in enumerate(names):
            image, original = packed[split].image(i), tree.images[name]
            factor = side / min(original.shape[:2])
            assert image.dtype == np.uint8 and min(image.shape[:2]) == side
            np.testing.assert_allclose(
                image.shape[:2], np.multiply(original.shape[:2], factor), atol=0.5)
            expected = Image.fromarray(original).resize(image.shape[1::-1], Image.BICUBIC)
            assert np.abs(image - np.asarray(expected, np.float32)).mean() < 5


def is_first(packed, colour, names, name):
    """Whether the packed image of `name` has this colour everywhere."""
    return (packed["train"].image(names.index(name)) == colour).all()


# --- content ---------------------------------------------------------------------------


@pytest.mark.parametrize("side", [8, SIDE, 61])
def test_scaled_to_the_shorter_side(tree, cache, side):
    assert_is_tree(pack(tree, cache, side), tree, side)


def test_other_kinds_of_image_become_rgb(tree, cache):
    names = tree.of("train")
    grey = Image.new("L", (30, 40), 77)
    Image.new("RGBA", (30, 40), (10, 20, 30, 128)).save(tree.root / names[0])
    grey.save(tree.root / names[1])
    grey.convert("P").save(tree.root / names[2])
    Image.new("LA", (30, 40), (77, 9)).save(tree.root / names[3])
    Image.new("RGB", (30, 40), (200, 100, 50)).save(tree.root / names[4], "JPEG", quality=100)
    packed = pack(tree, cache)
    assert is_first(packed, (10, 20, 30), names, names[0])
    for name in names[1:4]:
        assert is_first(packed, (77, 77, 77), names, name)
    assert np.abs(packed["train"].image(4) - np.float32([200, 100, 50])).max() <= 3


def test_more_images_than_are_decoded_at_once(tmp_path, cache):
    shapes = [(10 + i % 7, 12) for i in range(17 * (os.cpu_count() or 1))]
    tree = write_tree(tmp_path / "many", SIZES | {"train": shapes})
    assert_is_tree(pack(tree, cache), tree)


def test_the_pixels_are_mapped_and_read_only(tree, cache):
    train = pack(tree, cache)["train"]
    assert isinstance(train.pixels, np.memmap)
    with pytest.raises(ValueError):
        train.image(0)[0, 0, 0] = 1


def test_default_cache(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    pack(tree, "")
    assert packed_file(tmp_path / "home/.cache/aerobi")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    pack(tree, "")
    assert packed_file(tmp_path / "xdg/aerobi")


def test_a_relative_xdg_folder_is_ignored(tree, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", "here")
    pack(tree, "")
    assert packed_file(tmp_path / "home/.cache/aerobi")


def test_names_that_are_not_unicode(tmp_path, cache):
    tree = write_tree(pathlib.Path(os.fsdecode(os.fsencode(tmp_path / "d") + b"\xe4")))
    for _ in range(2):
        assert_is_tree(pack(tree, cache), tree)
    packed_file(cache)


# --- reuse -----------------------------------------------------------------------------


def test_reused_without_decoding(tree, cache, monkeypatch):
    pack(tree, cache)
    before = packed_file(cache).stat()
    monkeypatch.setattr(image_files, "decode", None)
    assert_is_tree(pack(tree, cache), tree)
    after = packed_file(cache).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_repacked_when_an_image_changed(tree, cache):
    pack(tree, cache)
    name = tree.of("train")[1]
    tree.images[name] = smooth_image(30, 31, np.random.default_rng(5))
    Image.fromarray(tree.images[name]).save(tree.root / name)
    assert_is_tree(pack(tree, cache), tree)


def test_repacked_when_an_image_is_gone(tree, cache):
    pack(tree, cache)
    name = tree.of("val")[0]
    (tree.root / name).unlink()
    del tree.images[name], tree.labels[name]
    assert_is_tree(pack(tree, cache), tree)


def test_repacked_when_a_label_changed(tree, cache):
    pack(tree, cache)
    path = tree.root / "metadata/background.xml"
    path.write_text(path.read_text().replace("<Crack>0<", "<Crack>1<"))
    for name, flags in tree.labels.items():
        if "/background/" in name:
            tree.labels[name] = (flags[0], 1, *flags[2:])
    assert_is_tree(pack(tree, cache), tree)
    packed_file(cache)


def test_every_patch_size_and_data_set_has_its_own_file(tree, cache, tmp_path):
    other = write_tree(tmp_path / "elsewhere" / "data", seed=3)
    for _ in range(2):
        assert_is_tree(pack(tree, cache), tree)
        assert_is_tree(pack(tree, cache, 16), tree, 16)
        assert_is_tree(pack(other, cache), other)
    assert len(list(cache.iterdir())) == 3


def pack_csv(path, cache):
    return packed_images.open_packed(read_data_set(str(path)), SIDE, str(cache))


def test_every_csv_file_has_its_own_file(tree, cache, monkeypatch):
    first, second = write_csv(tree, "a.csv"), write_csv(tree, "b.csv")
    second.write_text(second.read_text().replace("Crack", "Rust"))
    for _ in range(2):
        for path in (first, second, tree.root):
            assert_is_tree(pack_csv(path, cache), tree)
        monkeypatch.setattr(image_files, "decode", None)  # not packed for the second time
    assert len(list(cache.iterdir())) == 3


def test_repacked_when_a_csv_file_changed(tree, cache, caplog):
    path = write_csv(tree)
    pack_csv(path, cache)
    caplog.set_level("INFO")
    name, flags = next((name, flags) for name, flags in tree.labels.items() if flags[1])
    tree.labels[name] = (flags[0], 0, *flags[2:])
    write_csv(tree)
    assert_is_tree(pack_csv(path, cache), tree)
    lines = path.read_text().replace("CorrosionStain", "Rust")
    path.write_text(lines)
    assert_is_tree(pack_csv(path, cache), tree)
    assert caplog.text.count("images, labels or the patch size have changed") == 2
    packed_file(cache)


def test_more_classes_than_an_attribute_of_hdf5_holds(tmp_path, cache):
    classes = tuple(f"class {i}" for i in range(5000))
    tree = write_tree(tmp_path / "data")
    tree = tree._replace(labels={name: flags * 800 + flags[:2] * 100
                                 for name, flags in tree.labels.items()})
    assert_is_tree(pack_csv(write_csv(tree, classes=classes), cache), tree)


# --- damage ----------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.999])
def test_truncated_file_is_repacked(tree, cache, share):
    pack(tree, cache)
    file = packed_file(cache)
    size = file.stat().st_size
    os.truncate(file, int(size * share))
    assert_is_tree(pack(tree, cache), tree)
    assert packed_file(cache).stat().st_size == size


def test_garbage_is_repacked(tree, cache):
    pack(tree, cache)
    packed_file(cache).write_bytes(b"garbage " * 999)
    assert_is_tree(pack(tree, cache), tree)


def test_another_hdf5_file_is_repacked(tree, cache):
    pack(tree, cache)
    file = packed_file(cache)
    with packed_images.h5py.File(file, "r+") as inside:
        del inside["val"]
    assert_is_tree(pack(tree, cache), tree)


@pytest.mark.parametrize("share", [0.3, 0.99])
def test_changed_pixels_are_noticed(tree, cache, share):
    pack(tree, cache)
    file = packed_file(cache)
    with open(file, "rb+") as inside:
        inside.seek(int(file.stat().st_size * share))
        inside.write(b"scratch")
    assert_is_tree(pack(tree, cache), tree)


def test_damage_anywhere_is_harmless(tree, cache):
    pack(tree, cache)
    file, rng = packed_file(cache), np.random.default_rng(0)
    whole = file.read_bytes()
    for position in rng.integers(len(whole), size=60):
        damaged = bytearray(whole)
        damaged[position:position + 64] = rng.bytes(len(damaged[position:position + 64]))
        file.write_bytes(damaged)
        assert_is_tree(pack(tree, cache), tree)


@pytest.mark.parametrize("key, change", [("heights", 1), ("widths", 10 ** 9), ("offsets", 3),
                                         ("labels", 1)])
def test_wrong_index_is_repacked(tree, cache, key, change, caplog):
    pack(tree, cache)
    file = packed_file(cache)
    times = file.stat()
    with packed_images.h5py.File(file, "r+") as inside:
        inside["val"][key][1] = inside["val"][key][1] + change
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    caplog.set_level("INFO")
    assert_is_tree(pack(tree, cache), tree)
    assert "(the packed file is damaged)" in caplog.text


def test_a_copied_file_is_checked_once_and_kept(tree, cache, monkeypatch, caplog):
    pack(tree, cache)
    os.utime(packed_file(cache))
    monkeypatch.setattr(image_files, "decode", None)
    caplog.set_level("INFO")
    for _ in range(2):
        assert_is_tree(pack(tree, cache), tree)
    assert caplog.text.count("Checking") == 1


def test_the_fingerprint_is_of_what_the_data_are_and_not_of_where_they_lie(tmp_path, cache):
    write_tree(tmp_path / "data")
    shutil.copytree(tmp_path / "data", tmp_path / "copy")

    def fingerprint(root):
        return {split.fingerprint for split in packed_images.open_packed(
            read_data_set(str(root)), SIDE, str(cache)).values()}

    (first,) = fingerprint(tmp_path / "data")
    assert first and fingerprint(tmp_path / "copy") == {first}
    assert fingerprint(tmp_path / "data") == {first}
    path = next((tmp_path / "copy" / "val").rglob("*.png"))
    Image.open(path).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
    assert fingerprint(tmp_path / "copy") != {first}


def test_left_behind_files_go_when_they_are_old(tmp_path, cache):
    tree = write_tree(tmp_path / "data [1]")
    pack(tree, cache)
    file = packed_file(cache)
    old, young = (file.with_name(f"{file.name}.{name}.tmp") for name in ("old", "young"))
    old.touch()
    young.touch()
    os.utime(old, (time.time() - 2 * packed_images.STALE_SECONDS,) * 2)
    file.unlink()
    pack(tree, cache)
    assert set(cache.iterdir()) == {file, young}


# --- images that cannot be used --------------------------------------------------------


def fails(tree, cache, *parts):
    """The DataError holds all `parts`, and nothing is left in the cache."""
    with pytest.raises(DataError) as raised:
        pack(tree, cache)
    for part in parts:
        assert str(part) in str(raised.value)
    assert not cache.is_dir() or not list(cache.iterdir())


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n"])
def test_file_that_is_no_image(tree, cache, content):
    path = tree.root / tree.of("test")[0]
    path.write_bytes(content)
    fails(tree, cache, path, "does not decode")


def test_truncated_image(tree, cache):
    path = tree.root / tree.of("test")[-1]
    os.truncate(path, path.stat().st_size // 2)
    fails(tree, cache, path, "does not decode")


def test_damaged_image(tree, cache):
    path = tree.root / tree.of("train")[2]
    content = path.read_bytes()
    start = content.index(b"IDAT") + 4
    path.write_bytes(content[:start] + bytes(40) + content[start + 40:])
    fails(tree, cache, path, "does not decode")


def test_too_small_image(tree, cache):
    path = tree.root / tree.of("val")[0]
    Image.new("RGB", (50, 7)).save(path)
    fails(tree, cache, path, "50 x 7 pixels", "at least 8")
    Image.new("RGB", (50, 8)).save(path)
    assert pack(tree, cache)["val"].image(0).shape == (SIDE, 150, 3)


def test_image_that_vanished(tree, cache):
    data_set = read_data_set(str(tree.root))
    path = tree.root / tree.of("val")[0]
    path.unlink()
    with pytest.raises(DataError, match="cannot be read") as raised:
        packed_images.open_packed(data_set, SIDE, str(cache))
    assert str(path) in str(raised.value)


# --- a cache that cannot be written ----------------------------------------------------


@pytest.mark.parametrize("below", ["", "folder"])
def test_file_in_place_of_the_cache(tree, tmp_path, below):
    cache = tmp_path / "file"
    cache.touch()
    fails(tree, cache / below, cache / below, "--cache_dir")


def test_cache_in_the_home_of_nobody(tree):
    with pytest.raises(DataError, match="--cache_dir"):
        pack(tree, "~no_such_user/cache")


def test_cache_name_that_is_too_long(tree, tmp_path):
    with pytest.raises(DataError, match="--cache_dir"):
        pack(tree, tmp_path / ("x" * 300))


CHILD = """
import glob, pathlib, resource, sys, time
from AEROBI.data import image_files
from AEROBI.data import packed_images
from AEROBI.data_utils import read_data_set
root, cache, what, side = sys.argv[1:]
decode = image_files.decode

def hanging(path, size, *rule):
    if path.endswith("10_crop_0000001.png"):
        pathlib.Path(root, "hangs").touch()
        time.sleep(60)
    return decode(path, size, *rule)

def meeting(path, size, *rule):
    while len(glob.glob(cache + "/*.tmp")) < 2 and not glob.glob(cache + "/*.h5"):
        time.sleep(0.01)
    return decode(path, size, *rule)

def filling(path, size, *rule):
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
    return decode(path, size, *rule)

if what == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
else:
    image_files.decode = {"hang": hanging, "meet": meeting, "fills": filling}[what]
packed = packed_images.open_packed(read_data_set(root), int(side), cache)
print(sum(int(split.pixels.sum()) for split in packed.values()))
"""


def child(tree, cache, what):
    """Packs in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, tree.root, cache, what, str(SIDE)], text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": str(SOURCE)})


def wait_for(path):
    end = time.monotonic() + SECONDS
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("what", ["full", "fills"])
def test_full_disk_is_an_error_and_no_crash(tree, cache, what):
    _, errors = (process := child(tree, cache, what)).communicate(timeout=SECONDS)
    assert process.returncode == 1
    assert "DataError" in errors and "--cache_dir" in errors
    assert not list(cache.iterdir())


def test_killed_in_mid_packing(tree, cache):
    process = child(tree, cache, "hang")
    wait_for(tree.root / "hangs")
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    left = packed_file(cache)
    assert left.suffix == ".tmp"
    assert_is_tree(pack(tree, cache), tree)
    assert {path.suffix for path in cache.iterdir()} == {".tmp", ".h5"}
    os.utime(left, (time.time() - 2 * packed_images.YOUNG_SECONDS,) * 2)
    assert_is_tree(pack(tree, cache), tree)
    assert {path.suffix for path in cache.iterdir()} == {".h5"}


def test_the_file_of_a_living_packer_stays(tree, cache):
    process = child(tree, cache, "hang")
    wait_for(tree.root / "hangs")
    living = packed_file(cache)
    os.utime(living, (time.time() - 2 * packed_images.YOUNG_SECONDS,) * 2)
    assert_is_tree(pack(tree, cache), tree)
    assert living.exists()
    process.kill()
    process.communicate()
    os.utime(living, (time.time() - 2 * packed_images.YOUNG_SECONDS,) * 2)  # it may have written
    pack(tree, cache)
    assert not living.exists()


def test_two_at_once(tree, cache):
    processes = [child(tree, cache, "meet") for _ in range(2)]
    outputs = [process.communicate(timeout=SECONDS) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    packed = pack(tree, cache)
    assert_is_tree(packed, tree)
    expected = sum(int(split.pixels.sum()) for split in packed.values())
    assert [int(output) for output, _ in outputs] == [expected] * 2
    assert packed_file(cache).suffix == ".h5"
