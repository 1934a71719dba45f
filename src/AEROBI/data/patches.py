"""From an image to what a network sees of it: scaled so that its shorter side is that of a patch,
then cut. Training, evaluation, prediction and reports take their patches from here.
"""

from typing import TypeVar

import numpy as np
from PIL import Image

Lengths = TypeVar("Lengths", int, np.ndarray)  # pixels of one image, or int64 [n] of n images


def scaled_size(height: int, width: int, side: int, aliased: bool = False) -> tuple[int, int]:
    """(height, width) of an image once its shorter side is `side` pixels, the other in proportion.

    The longer side is rounded to the nearest pixel, a half to the even one, and is never the
    shorter one; as the published code scales (`aliased`), it is cut to a whole number.
    """
    shorter, longer = sorted((height, width))
    exact = longer * side
    longer = exact // shorter if aliased else max(side, round(exact / shorter))
    return (side, longer) if height <= width else (longer, side)


def scale(image: Image.Image, size: tuple[int, int], aliased: bool = False) -> np.ndarray:
    """uint8 [height, width, 3] of an RGB image scaled to `size`, (height, width).

    Pillow's bilinear filter: where an image becomes smaller, each new pixel is a mean over all
    that it covers, so that no fine crack falls between the samples. The published code scales
    without that (`aliased`).
    """
    height, width = (int(length) for length in size)
    if aliased:
        return _sampled(np.asarray(image), height, width)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def _sampled(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """TensorFlow 1's bilinear rule: a new pixel is between four old ones, whatever lies around.

    Pixels are points, and those at the upper left corner lie on each other.
    """
    above, below, down = _neighbours(image.shape[0], height)
    before, after, right = _neighbours(image.shape[1], width)
    down, right = down[:, np.newaxis, np.newaxis], right[:, np.newaxis]

    def row(at: np.ndarray) -> np.ndarray:
        left = image[np.ix_(at, before)].astype(np.float32)
        return left + (image[np.ix_(at, after)] - left) * right

    upper = row(above)
    return np.rint(upper + (row(below) - upper) * down).astype(np.uint8)


def _neighbours(length: int, scaled: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The old pixels on both sides of each new one of an axis, float32 share of the latter."""
    place = np.arange(scaled, dtype=np.float32) * np.float32(length / scaled)
    first = place.astype(np.int64)
    return first, np.minimum(first + 1, length - 1), place - first


def centre_corner(height: Lengths, width: Lengths, side: int) -> tuple[Lengths, Lengths]:
    """(top, left) of the patch in the middle; where that is half a pixel, above and left of it."""
    return (height - side) // 2, (width - side) // 2


def five_corners(height: int, width: int, side: int) -> list[tuple[int, int]]:
    """(top, left) of five patches: the one in the middle, and those in the image's corners."""
    bottom, right = height - side, width - side
    return [centre_corner(height, width, side), (0, 0), (0, right), (bottom, 0), (bottom, right)]


def cut(image: np.ndarray, corner: tuple[int, int], side: int) -> np.ndarray:
    """The patch of [height, width, 3] at (top, left): a view, [side, side, 3]."""
    top, left = corner
    return image[top:top + side, left:left + side]


def centre_crop(image: np.ndarray, side: int) -> np.ndarray:
    """The patch in the middle of [height, width, 3]: a view, [side, side, 3]."""
    return cut(image, centre_corner(*image.shape[:2], side), side)
