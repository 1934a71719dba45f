"""One image file -> its size and its pixels, scaled.

Everything that can be wrong with an image is a DataError that names the file. The size comes
from the header alone, so that most faults show before anything is decoded.
"""

import contextlib
import os
import struct
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from AEROBI.data import patches
from AEROBI.data.data_set import DataError
from AEROBI.data.threads import in_order
from AEROBI.run.regular_files import regular

SMALLEST_SIDE = 8  # pixels
# Pixels, as stored and as scaled: 40 times the largest crop, yet no danger to the memory.
MOST_PIXELS = 64_000_000
DECODED_AHEAD = 4  # images a worker, which bounds the memory
FORMATS = ("PNG", "JPEG")  # no other decoder of Pillow runs on a file from the internet
DECODE_ERRORS = (OSError, SyntaxError, ValueError, LookupError, TypeError, EOFError,
                  struct.error)
_PNG_EXIF = frozenset(("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"))
_TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
          4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
          6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
          8: Image.Transpose.ROTATE_90}
_SIDEWAYS = (5, 6, 7, 8)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def orientation(image: Image.Image) -> int:
    """How an opened image is to be turned (EXIF 2.3, Orientation), 1 to 8; 1 is as it is stored.

    From what stands before the pixels, so that nothing is decoded; 1 where that is damaged.
    """
    if image.format == "PNG" and _PNG_EXIF.isdisjoint(image.info):
        return 1  # Pillow would decode all of it to look behind the pixels
    with contextlib.suppress(*DECODE_ERRORS):
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    return 1


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """Upright: the image as the camera was held, from how it is stored."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def scaled_size(path: str, img_size: int, aliased: bool = False) -> tuple[int, int]:
    """(height, width) of an image scaled so that its shorter side is `img_size` pixels.

    Upright: turned as its EXIF says, as `decode` does.

    Not for threads: it turns a warning of Pillow into an error, which is a global setting.

    Raises:
        DataError: no image, too small, too large, or of more than 8 bits.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with _opened(path) as image:
                (width, height), mode = image.size, image.mode
                if orientation(image) in _SIDEWAYS:
                    width, height = height, width
    except _BOMBS as error:
        raise DataError(f"{path}: too large ({error}); crop it") from error
    except DECODE_ERRORS as error:
        raise _undecodable(path, error) from error
    if mode == "F" or mode.startswith("I"):
        raise DataError(f"{path}: more than 8 bits a channel (mode {mode}); convert it to RGB")
    size = patches.scaled_size(height, width, img_size, aliased)
    _check_size(path, height, width, size)
    return size


def _check_size(path: str, height: int, width: int, scaled: tuple[int, int]) -> None:
    """Neither so small that nothing is to be seen, nor a danger to the memory."""
    if min(height, width) < SMALLEST_SIDE:
        raise DataError(f"{path}: {width} x {height} pixels; an image needs at least "
                        f"{SMALLEST_SIDE} on its shorter side: remove it and its labels")
    if max(height * width, scaled[0] * scaled[1]) > MOST_PIXELS:
        raise DataError(f"{path}: too large ({width} x {height} pixels, scaled {min(scaled)} x "
                        f"{max(scaled)}; at most {MOST_PIXELS} pixels in all); crop it")


def decode(path: str, size: tuple[int, int], aliased: bool = False) -> np.ndarray:
    """uint8 [h, w, 3] of an image, turned as its EXIF says, scaled to `size`, (h, w).

    Raises:
        DataError: the image does not decode to its end.
    """
    try:
        with _opened(path) as image:
            turn = orientation(image)
            return patches.scale(turned(image.convert("RGB"), turn), size, aliased)
    except DECODE_ERRORS as error:
        raise _undecodable(path, error) from error


def decode_all(paths: Sequence[str], sizes: Sequence[tuple[int, int]],
               aliased: bool = False) -> Iterator[np.ndarray]:
    """`decode` of every image, in order, in as many threads as there are cores.

    Pillow lets other threads run meanwhile. Only a few images are held at a time.
    """
    workers = os.cpu_count() or 1
    return in_order(lambda job: decode(*job, aliased), zip(paths, sizes), workers,
                    DECODED_AHEAD * workers - 1)  # the one in use is held, too


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Image.Image]:
    with open(path, "rb", opener=regular) as file, Image.open(file, formats=FORMATS) as image:
        yield image


def _undecodable(path: str, error: Exception) -> DataError:
    reason = "neither PNG nor JPEG" if isinstance(error, UnidentifiedImageError) else error
    return DataError(f"{path}: does not decode ({reason}); copy it again from the data set's "
                     f"archive, or remove it and its labels")
