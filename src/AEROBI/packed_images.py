"""The decoded copy of a data set: every image scaled once, in one HDF5 file (SPEC 3).

The pixels of all images stand one after another in one contiguous data set, so that later runs
map the file into memory and a batch is a few copies of rows. The file is written under a
temporary name and renamed when it is whole; a fingerprint of the images and label files tells
whether it is still that of the data.
"""

import contextlib
import errno
import glob
import hashlib
import logging
import os
import pathlib
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import h5py
import numpy as np
import six
from PIL import Image, UnidentifiedImageError
from tqdm import tqdm

from AEROBI.data_utils import DataError, DataSet

logger = logging.getLogger(__name__)

FORMAT = "AEROBI packed images 1"
SMALLEST_SIDE = 8  # pixels
STALE_SECONDS = 24 * 3600  # a temporary file this old belongs to no living process
CHANNELS = 3
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


class PackedSplit(NamedTuple):
    """The scaled images of a split; n images, classes labels."""

    pixels: np.ndarray  # uint8 [bytes], of all splits, mapped from the file
    offsets: np.ndarray  # int64 [n], where an image starts
    heights: np.ndarray  # int32 [n]
    widths: np.ndarray  # int32 [n]
    labels: np.ndarray  # uint8 [n, classes]

    def image(self, index: int) -> np.ndarray:
        """Image number `index`, uint8 [h, w, 3], a view."""
        height, width = int(self.heights[index]), int(self.widths[index])
        start = int(self.offsets[index])
        return self.pixels[start:start + height * width * CHANNELS].reshape(
            height, width, CHANNELS)


def open_packed(data_set: DataSet, img_size: int, cache_dir: str = "") -> dict[str, PackedSplit]:
    """The packed splits of a data set; packs first where that was not done or is out of date.

    Args:
        data_set: names and labels.
        img_size: shorter side of the scaled images, pixels.
        cache_dir: folder of the packed file; empty for the user's cache.

    Raises:
        DataError: an image that cannot be used, or a cache folder that cannot be written.
    """
    folder = pathlib.Path(cache_dir or _default_cache()).expanduser()
    path = folder / _file_name(data_set.root, img_size)
    fingerprint = _fingerprint(data_set, img_size)
    splits, reason = _open_if_current(path, fingerprint, data_set)
    if splits is None:
        logger.info("Packing %d images into %s (%s)",
                    sum(len(split.paths) for split in data_set.splits.values()), path, reason)
        _pack(data_set, img_size, path, fingerprint)
        splits, reason = _open_if_current(path, fingerprint, data_set)
    if splits is None:
        raise DataError(f"{path}: changed while it was opened ({reason}); start again")
    return splits


def _default_cache() -> str:
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "aerobi")


def _file_name(root: str, img_size: int) -> str:
    digest = hashlib.sha256(os.path.realpath(root).encode()).hexdigest()[:10]
    return f"{os.path.basename(root) or 'data'}-{digest}-{img_size}px.h5"


def _fingerprint(data_set: DataSet, img_size: int) -> str:
    """Changes with any image or label file (name, size, time), label, class or the patch size."""
    digest = hashlib.sha256(f"{FORMAT} {img_size} {data_set.class_names}".encode())
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
    return f"{os.path.relpath(path, root)}|{status.st_size}|{status.st_mtime_ns}\n".encode()


# --- reading ---------------------------------------------------------------------------


def _open_if_current(path: pathlib.Path, fingerprint: str, data_set: DataSet
                     ) -> tuple[dict[str, PackedSplit] | None, str]:
    """The splits, or None and why the file must be written (again)."""
    if not os.path.exists(path):
        return None, "first use"
    try:
        with h5py.File(path, "r") as file:
            if six.ensure_str(file.attrs.get("fingerprint", "")) != fingerprint:
                return None, "images, labels or the patch size have changed"
            pixels = file["pixels"]
            offset, size = pixels.id.get_offset(), pixels.shape[0]
            arrays = {name: [file[name][key][...] for key in PackedSplit._fields[1:]]
                      for name in data_set.splits}
        if offset is None or path.stat().st_size < offset + size:
            return None, "the packed file is cut off"
        mapped = np.memmap(path, np.uint8, "r", offset, (size,))
    except (OSError, KeyError, ValueError, TypeError, RuntimeError, AttributeError) as error:
        return None, f"the packed file is damaged: {error}"
    return {name: PackedSplit(mapped, *values) for name, values in arrays.items()}, ""


# --- packing ---------------------------------------------------------------------------


def _pack(data_set: DataSet, img_size: int, path: pathlib.Path, fingerprint: str) -> None:
    """Writes the packed file, whole or not at all."""
    paths = [name for split in data_set.splits.values() for name in split.paths]
    start = time.monotonic()
    sizes = _scaled_sizes(paths, img_size)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_stale(path)
        with _temporary(path) as temporary:
            _check_room(temporary, sizes)
            with h5py.File(temporary, "w") as file:
                pixels = _write_index(file, data_set, sizes)
                _write_pixels(pixels, paths, sizes)
                file.attrs["fingerprint"] = fingerprint
            with open(temporary, "rb+") as whole:
                os.fsync(whole.fileno())
            os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # h5py raises both
        raise DataError(f"{path}: cannot be written ({error}); name another folder, or one with "
                        "more space, with --cache_dir") from error
    seconds = max(time.monotonic() - start, 1e-9)
    logger.info("Packed %d images in %.1f s (%.0f a second)",
                len(paths), seconds, len(paths) / seconds)


@contextlib.contextmanager
def _temporary(path: pathlib.Path) -> Iterator[str]:
    """A new file's name beside `path`, removed at the end if it is still there."""
    handle, name = tempfile.mkstemp(".tmp", f"{path.name}.", path.parent)
    os.close(handle)
    try:
        yield name
    finally:
        pathlib.Path(name).unlink(missing_ok=True)


def _check_room(name: str, sizes: np.ndarray) -> None:
    """OSError if the disk cannot hold the file: HDF5 crashes the process on a full one."""
    if not hasattr(os, "posix_fallocate"):
        return
    needed = int(sizes.prod(1).sum()) * CHANNELS + 64 * len(sizes) + 2 ** 16
    with open(name, "rb+") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, needed)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise


def _remove_stale(path: pathlib.Path) -> None:
    """What packers that were killed left behind; a living one's file is younger."""
    for left in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                left.unlink()


def _scaled_sizes(paths: list[str], img_size: int) -> np.ndarray:
    """int64 [n, 2], (height, width) after scaling; reads only the headers."""
    sizes = np.empty((len(paths), 2), np.int64)
    for i, path in enumerate(paths):
        try:
            with Image.open(path) as image:
                width, height = image.size
        except _DECODE_ERRORS as error:
            raise _undecodable(path, error) from error
        shorter = min(height, width)
        if shorter < SMALLEST_SIDE:
            raise DataError(f"{path}: {width} x {height} pixels; an image needs at least "
                            f"{SMALLEST_SIDE} on its shorter side: remove it and its labels")
        sizes[i] = [max(img_size, round(side * img_size / shorter)) for side in (height, width)]
    return sizes


def _write_index(file: h5py.File, data_set: DataSet, sizes: np.ndarray) -> h5py.Dataset:
    """Everything but the pixels; returns the data set that is to hold them."""
    lengths = sizes.prod(1) * CHANNELS
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    file.attrs["class_names"] = list(data_set.class_names)
    first = 0
    for name, split in data_set.splits.items():
        rows = slice(first, first + len(split.paths))
        group = file.create_group(name)
        group["offsets"] = offsets[rows]
        group["heights"], group["widths"] = sizes[rows].T.astype(np.int32)
        group["labels"] = split.labels
        first = rows.stop
    return file.create_dataset("pixels", (int(offsets[-1]),), np.uint8)


def _write_pixels(pixels: h5py.Dataset, paths: list[str], sizes: np.ndarray) -> None:
    """Decodes in parallel, writes in order, and holds a few images at a time."""
    workers = os.cpu_count() or 1
    start, ahead = 0, 8 * workers
    with ThreadPoolExecutor(workers) as pool, tqdm(
            total=len(paths), desc="packing", leave=False, disable=None) as bar:
        for first in range(0, len(paths), ahead):
            chunk = slice(first, first + ahead)
            for scaled in pool.map(_decode, paths[chunk], sizes[chunk]):
                pixels[start:start + scaled.size] = scaled.ravel()
                start += scaled.size
                bar.update()


def _decode(path: str, size: np.ndarray) -> np.ndarray:
    """uint8 [h, w, 3] of an image scaled to `size` (h, w)."""
    try:
        with Image.open(path) as image:
            scaled = image.convert("RGB").resize(
                (int(size[1]), int(size[0])), Image.Resampling.BILINEAR)
    except _DECODE_ERRORS as error:
        raise _undecodable(path, error) from error
    return np.asarray(scaled)


def _undecodable(path: str, error: Exception) -> DataError:
    reason = "not an image" if isinstance(error, UnidentifiedImageError) else error
    return DataError(f"{path}: does not decode ({reason}); copy it again from the data set's "
                     "archive, or remove it and its labels")
