"""The decoded copy of a data set: every image scaled once, in one HDF5 file.

The pixels of all images stand one after another in one contiguous data set, so that later runs
map the file into memory and a batch is a few copies of rows. The file is written under a
temporary name and renamed when it is whole. A fingerprint of the images and label files tells
whether it is still that of the data; a seal tells whether it is still what was written.
"""

import contextlib
import errno
import hashlib
import logging
import os
import pathlib
import time
import zlib
from typing import BinaryIO, NamedTuple

import h5py
import numpy as np
import six
from tqdm import tqdm

from AEROBI.data.data_set import DataError, DataSet
from AEROBI.data.image_files import decode_all, scaled_size
from AEROBI.run.file_lock import Lock, lock_file
from AEROBI.run.regular_files import check_regular, read_bytes, regular
from AEROBI.run.whole_files import new_file

logger = logging.getLogger(__name__)

FORMAT = "AEROBI packed images 3"  # 3: turned as EXIF says; with a checksum of each file
CHANNELS = 3
STALE_SECONDS = 24 * 3600  # where files cannot be locked, one this old has no living packer
YOUNG_SECONDS = 60  # a packer may not have locked its file yet


class PackedSplit(NamedTuple):
    """The scaled images of a split; n images, classes labels."""

    pixels: np.ndarray  # uint8 [bytes], of all splits, mapped from the file
    offsets: np.ndarray  # int64 [n], where an image starts
    heights: np.ndarray  # int32 [n]
    widths: np.ndarray  # int32 [n]
    labels: np.ndarray  # uint8 [n, classes]
    fingerprint: str = ""  # of the whole data set: names, labels and contents of the image files

    def image(self, index: int) -> np.ndarray:
        """Image number `index`, uint8 [h, w, 3], a view."""
        height, width = int(self.heights[index]), int(self.widths[index])
        start = int(self.offsets[index])
        # A plain array: slices of a memmap are slow.
        return np.asarray(self.pixels)[start:start + height * width * CHANNELS].reshape(
            height, width, CHANNELS)


def open_packed(data_set: DataSet, img_size: int, cache_dir: str = "",
                aliased: bool = False) -> dict[str, PackedSplit]:
    """The packed splits of a data set; packs first where that was not done or is out of date.

    Args:
        data_set: names and labels.
        img_size: shorter side of the scaled images, pixels.
        cache_dir: folder of the packed file; empty for the user's cache.
        aliased: scaled as the published code does, see `patches.scale`.

    Raises:
        DataError: an image that cannot be used, or a cache folder that cannot be written.
    """
    folder = _cache_folder(cache_dir)
    form = f"{img_size}px" + "-aliased" * aliased
    path = folder / _file_name(data_set.source, form)
    fingerprint = _fingerprint(data_set, f"{img_size}" + " aliased" * aliased)
    _remove_stale(folder)
    splits, reason = _open_if_current(path, fingerprint, data_set)
    if splits is None:
        logger.info("Packing %d images into %s (%s)",
                    sum(len(split.paths) for split in data_set.splits.values()), path, reason)
        _pack(data_set, (img_size, aliased), path, fingerprint)
        splits, reason = _open_if_current(path, fingerprint, data_set)
    if splits is None:
        raise DataError(f"{path}: changed while it was opened ({reason}); start again")
    return splits


def _cache_folder(cache_dir: str) -> pathlib.Path:
    """`cache_dir`, or the user's cache by the XDG rules (which ignore a relative path)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    default = os.path.join(base if os.path.isabs(base) else "~/.cache", "aerobi")
    try:
        return pathlib.Path(cache_dir or default).expanduser().absolute()
    except RuntimeError as error:
        raise DataError(f"{cache_dir or default}: there is no home folder ({error}); name a "
                        "folder for the packed images with --cache_dir") from error


def _file_name(source: str, form: str) -> str:
    digest = hashlib.sha256(os.fsencode(os.path.realpath(source))).hexdigest()[:10]
    return f"{os.path.basename(source) or 'data'}-{digest}-{form}.h5"


def _fingerprint(data_set: DataSet, form: str) -> str:
    """Changes with any image or label file (name, size, time), label, class, or how to scale."""
    digest = hashlib.sha256(f"{FORMAT} {form} {data_set.class_names}".encode())
    for path in data_set.label_files:
        digest.update(_identity(data_set.root, path))
    for name, split in sorted(data_set.splits.items()):
        digest.update(name.encode())
        for path in split.paths:
            digest.update(_identity(data_set.root, path))
        digest.update(split.labels.tobytes())
    return digest.hexdigest()


def _identity(root: str, path: str) -> bytes:
    try:
        status = os.stat(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    return os.fsencode(f"{os.path.relpath(path, root)}|{status.st_size}|{status.st_mtime_ns}\n")


# --- reading ---------------------------------------------------------------------------


def _open_if_current(path: pathlib.Path, fingerprint: str, data_set: DataSet
                     ) -> tuple[dict[str, PackedSplit] | None, str]:
    """The splits, or None and why the file must be written (again)."""
    if not os.path.exists(path):
        return None, "first use"
    try:
        check_regular(path)
        with h5py.File(path, "r") as file:
            if six.ensure_str(file.attrs.get("fingerprint", "")) != fingerprint:
                return None, "images, labels or the patch size have changed"
            pixels = file["pixels"]
            offset, size = pixels.id.get_offset(), pixels.shape[0]
            seal = int(file.attrs["sealed_ns"]), int(file.attrs["crc32"])
            arrays = {name: [file[name][key][...] for key in PackedSplit._fields[1:-1]]
                      for name in data_set.splits}
            contents = six.ensure_str(file.attrs["contents"])
        if offset is None or path.stat().st_size < offset + size:
            return None, "the packed file is cut off"
        mapped = np.memmap(path, np.uint8, "r", offset, (size,))
        splits = {name: PackedSplit(mapped, *values, contents) for name, values in arrays.items()}
        if not (_index_is_right(splits, data_set) and _seal_holds(path, mapped, *seal)):
            return None, "the packed file is damaged"
    # HDF5 raises nearly anything on a damaged file, and packing again is always right.
    except Exception as error:
        return None, f"the packed file is damaged: {error}"
    return splits, ""


def _index_is_right(splits: dict[str, PackedSplit], data_set: DataSet) -> bool:
    """Whether the images fill the pixels one after another and have the labels on disk."""
    end = 0
    for name, split in splits.items():
        lengths = split.heights.astype(np.int64) * split.widths * CHANNELS
        ends = end + np.cumsum(lengths)
        if not (np.array_equal(split.labels, data_set.splits[name].labels)
                and np.array_equal(split.offsets, ends - lengths) and (lengths > 0).all()):
            return False
        end = int(ends[-1])
    return end == len(next(iter(splits.values())).pixels)


def _seal_holds(path: pathlib.Path, pixels: np.ndarray, sealed_ns: int, crc32: int) -> bool:
    """Whether the pixels are those that were written.

    The file got its time of change on purpose, so that whatever writes to it later shows and
    the checksum, a second or two for 10,000 images, is for copies and suspects only.
    """
    if path.stat().st_mtime_ns == sealed_ns:
        return True
    logger.info("Checking %s: its time is not that of the packing", path)
    if zlib.crc32(pixels) != crc32:
        return False
    with contextlib.suppress(OSError):  # somebody else's file, or a file system without times
        os.utime(path, ns=(sealed_ns, sealed_ns))
    return True


# --- packing ---------------------------------------------------------------------------


def _pack(data_set: DataSet, form: tuple[int, bool], path: pathlib.Path,
          fingerprint: str) -> None:
    """Writes the packed file, whole or not at all; `form` is (img_size, aliased)."""
    paths = [name for split in data_set.splits.values() for name in split.paths]
    start = time.monotonic()
    sizes = np.array([scaled_size(name, *form) for name in paths], np.int64)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with new_file(path) as whole:
            _check_room(whole, sizes)
            offset = _write_index(whole.name, data_set, sizes)
            # Not through HDF5: a disk that gets full meanwhile crashes the process there.
            with open(whole.name, "rb+") as file:
                lock_file(file)  # a packer that lives; HDF5 locks the file for itself
                file.seek(offset)
                crc32 = _write_pixels(file, paths, sizes, form[1])
            _seal(whole.name, crc32, {"fingerprint": fingerprint, "contents": _contents(data_set)})
    except (OSError, RuntimeError) as error:  # h5py raises both
        raise DataError(f"{path}: cannot be written ({error}); name another folder, or one with "
                        "more space, with --cache_dir") from error
    seconds = max(time.monotonic() - start, 1e-9)
    logger.info("Packed %d images in %.1f s (%.0f a second)",
                len(paths), seconds, len(paths) / seconds)


def _contents(data_set: DataSet) -> str:
    """What the data set is wherever it lies: class names, labels, names and bytes of the images."""
    digest = hashlib.sha256(repr(data_set.class_names).encode())
    for name, split in sorted(data_set.splits.items()):
        digest.update(name.encode())
        digest.update(split.labels.tobytes())
        for path in split.paths:
            below = os.path.relpath(path, data_set.root).replace(os.sep, "/")
            checksum = zlib.crc32(read_bytes(pathlib.Path(path)))
            digest.update(os.fsencode(f"{below}|{checksum}\n"))
    return digest.hexdigest()


def _check_room(file: BinaryIO, sizes: np.ndarray) -> None:
    """OSError if the disk cannot hold the file: better now than after an hour."""
    if not hasattr(os, "posix_fallocate"):
        return
    needed = int(sizes.prod(1).sum()) * CHANNELS + 64 * len(sizes) + 2 ** 16
    try:
        os.posix_fallocate(file.fileno(), 0, needed)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise


def _remove_stale(folder: pathlib.Path) -> None:
    """Removes what packers that were killed left behind; a living one holds a lock."""
    with contextlib.suppress(OSError):  # no such folder, or not ours: packing will tell
        for left in folder.glob("*.h5.*.tmp"):
            age = time.time() - left.stat().st_mtime
            if age > YOUNG_SECONDS:
                with open(left, "rb+", opener=regular) as file:
                    stale = lock_file(file) is Lock.HELD or age > STALE_SECONDS
                if stale:
                    left.unlink()


def _write_index(name: str, data_set: DataSet, sizes: np.ndarray) -> int:
    """Everything but the pixels; returns where in the file those are to stand."""
    lengths = sizes.prod(1) * CHANNELS
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    first = 0
    with h5py.File(name, "w") as file:
        file["class_names"] = list(data_set.class_names)  # attributes hold 64 KB at most
        for split_name, split in data_set.splits.items():
            rows = slice(first, first + len(split.paths))
            group = file.create_group(split_name)
            group["offsets"] = offsets[rows]
            group["heights"], group["widths"] = sizes[rows].T.astype(np.int32)
            group["labels"] = split.labels
            first = rows.stop
        pixels = file.create_dataset("pixels", (int(offsets[-1]),), np.uint8)
        pixels[-1] = 0  # HDF5 finds a place for all of it when the first value comes
        return pixels.id.get_offset()


def _write_pixels(file: BinaryIO, paths: list[str], sizes: np.ndarray, aliased: bool) -> int:
    """Decodes in parallel, writes in order; returns the checksum."""
    crc32 = 0
    with contextlib.closing(decode_all(paths, sizes, aliased)) as images, tqdm(
            total=len(paths), desc="packing", leave=False, disable=None) as bar:
        for image in images:
            file.write(image.data)
            crc32 = zlib.crc32(image.data, crc32)
            bar.update()
    return crc32


def _seal(name: str, crc32: int, fingerprints: dict[str, str]) -> None:
    """What makes the file valid; see `_seal_holds`."""
    sealed_ns = int(time.time()) // 2 * 2 * 10 ** 9  # some file systems count by two seconds
    with h5py.File(name, "r+") as file:
        file.attrs.update(fingerprints, crc32=crc32, sealed_ns=sealed_ns)
    with contextlib.suppress(OSError):
        os.utime(name, ns=(sealed_ns, sealed_ns))
