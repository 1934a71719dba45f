"""Photographs: found in folders and lists, read upright, cut to the patch of an evaluation.

Only PNG and JPEG are decoded, by the policies of `image_files`; but a photograph may be larger
than a crop of the data set.
"""

import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

# The same decoders run, and the same faults are expected, as in training.
from AEROBI.data.image_files import DECODE_ERRORS, FORMATS, SMALLEST_SIDE, orientation, turned
from AEROBI.data.image_files import MOST_PIXELS as LARGE
from AEROBI.data.patches import centre_crop, scale, scaled_size
from AEROBI.run.regular_files import regular

MOST_PIXELS = 200_000_000  # as stored and as scaled: the largest cameras there are
LONGEST_LINE = 65_536  # bytes of a line in a list; more is no list of files
STDIN = "-"

_TYPES = (".png", ".jpg", ".jpeg")
# In a folder these are photographs too, so they are named; other files are none.
_OTHER_TYPES = (".bmp", ".gif", ".tif", ".tiff", ".webp", ".jp2", ".heic", ".heif", ".avif",
                ".dng", ".cr2", ".cr3", ".nef", ".arw")
_ALONE = threading.Lock()  # two photographs of more than LARGE pixels are not decoded at once


class PhotoError(ValueError):
    """A photograph that cannot be used; the message names it and says why."""


class Found(NamedTuple):
    """One file, or what kept one from being found.

    Attributes:
        path: to open it with.
        below: the same below the folder that was named; of a file that was named, its name.
        problem: why it cannot be read, where that is known already; else None.
    """

    path: str
    below: str
    problem: str | None = None


# --- finding ---------------------------------------------------------------------------


def find(names: Iterable[str], exclude: str | None = None) -> Iterator[Found]:
    """The files of `names`, and the photographs in those that are folders.

    Folders are read when it is their turn, in order of names, with everything below them; of one
    folder only the names are held. Links are followed, but each folder is read once, so that
    links in a circle end. Names with a leading dot are left out, and other kinds of files.

    Args:
        names: files and folders; a file is tried whatever it is called.
        exclude: a folder from which nothing is read.
    """
    barred = None if exclude is None else os.path.realpath(exclude)
    for name in names:
        found = _walk(name) if os.path.isdir(name) else [Found(name, os.path.basename(name))]
        for file in found:
            if barred is None or not _lies_in(file.path, barred):
                yield file


def _lies_in(path: str, folder: str) -> bool:
    """Whether a path is, or leads through links, into a folder without links."""
    try:
        return Path(os.path.realpath(path)).is_relative_to(folder)
    except ValueError:
        return False


def _walk(root: str) -> Iterator[Found]:
    """Depth first, with a stack of its own: a tree may be deeper than Python's."""
    visited: set[tuple[int, int]] = set()
    stack = [_listed(root, "", visited)]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
        elif isinstance(entry, Found):
            yield entry
        else:
            stack.append(_listed(os.path.join(root, entry), entry, visited))


def _listed(folder: str, below: str, visited: set[tuple[int, int]]) -> Iterator[Found | str]:
    """What one folder has: photographs, and folders as their paths below the root."""
    try:
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:
            return
        visited.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as entries:
            names, folders = [], set()
            for entry in entries:
                if not entry.name.startswith("."):
                    names.append(entry.name)
                    if _is_folder(entry):
                        folders.add(entry.name)
    except OSError as error:
        yield Found(folder, below, f"cannot be read ({error.strerror or error})")
        return
    for name in sorted(names):
        kind = os.path.splitext(name)[1].lower()
        path, inner = os.path.join(folder, name), os.path.join(below, name)
        if name in folders:
            yield inner
        elif kind in _TYPES:
            yield Found(path, inner)
        elif kind in _OTHER_TYPES:
            yield Found(path, inner, f"{kind} images are not read; convert it to JPEG or PNG")


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def read_list(file: BinaryIO) -> Iterator[str]:
    """The file names of a list, one a line, relative to the current folder.

    Raises:
        PhotoError: a line that is too long for a name.
    """
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise PhotoError(f"a line has more than {LONGEST_LINE} bytes; give a text file with "
                             "one file name a line")
        if name := line.rstrip(b"\r\n"):
            yield os.fsdecode(name)


# --- reading ---------------------------------------------------------------------------


def read_photo(path: str) -> Image.Image:
    """A photograph in RGB, upright; pixels 0 to 255.

    Grey of 16 bits keeps the upper eight; transparency is dropped, as it is in training.

    Raises:
        PhotoError: it cannot be read or decoded to its end, or is too large or too small.
    """
    try:
        with open(path, "rb", opener=regular) as file, Image.open(file, formats=FORMATS) as image:
            _check_size(path, image)
            if image.width * image.height <= LARGE:
                return _upright(image)
            with _ALONE:
                return _upright(image)
    except UnidentifiedImageError:
        raise PhotoError(f"{shown(path)}: neither PNG nor JPEG") from None
    except PhotoError:
        raise
    except DECODE_ERRORS as error:
        reason = getattr(error, "strerror", None) or f"does not decode: {error}"
        raise PhotoError(f"{shown(path)}: {reason}") from None
    except MemoryError:
        raise PhotoError(f"{shown(path)}: too large for the memory; scale it down") from None


def _check_size(path: str, image: Image.Image) -> None:
    """Refuses a photograph by the size in its header, before anything is decoded."""
    size = f"{image.width} x {image.height} pixels"
    if image.width * image.height > MOST_PIXELS:
        raise PhotoError(f"{shown(path)}: {size} are more than {MOST_PIXELS // 10**6} megapixels; "
                         "scale it down or cut it up")
    if min(image.size) < SMALLEST_SIDE:
        raise PhotoError(f"{shown(path)}: {size}; a side needs at least {SMALLEST_SIDE}")


def _upright(image: Image.Image) -> Image.Image:
    turn = orientation(image)
    image.load()
    if image.mode.startswith("I"):  # 16 bits of grey; Pillow would cut off at 255
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return turned(image if image.mode == "RGB" else image.convert("RGB"), turn)


def patch(photo: Image.Image, img_size: int, aliased: bool = False) -> np.ndarray:
    """uint8 [S, S, 3], what an evaluation sees: the shorter side scaled to S, the centre cut out.

    Raises:
        PhotoError: it is so long that it is too large when scaled.
    """
    size = scaled_size(photo.height, photo.width, img_size, aliased)
    if size[0] * size[1] > MOST_PIXELS:
        raise PhotoError(f"{photo.width} x {photo.height} pixels are too long and narrow; cut it "
                         "up")
    # A copy, or the whole scaled photograph would live as long as its patch.
    return centre_crop(scale(photo, size, aliased), img_size).copy()


def shown(path: str) -> str:
    """A path for messages and tables: on one line, and no command to a terminal."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
