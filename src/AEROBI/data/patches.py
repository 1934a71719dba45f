"""From an image to what a network sees of it: scaled so that its shorter side is that of a patch,
then cut. Training, evaluation, prediction and reports take their patches from here.
"""

from typing import TypeVar

import numpy as np
from PIL import Image

Lengths = TypeVar("Lengths", int, np.ndarray)  # pixels of one image, or int64 [n] of n images


def scaled_size(height: int, width: int, side: int) -> tuple[int, int]:
    """(height, width) of an image once its shorter side is `side` pixels, the other in proportion.

    The longer side is rounded to the nearest pixel, a half to the even one, and is never the
    shorter one.
    """
    longer = max(side, round(max(height, width) * side / min(height, width)))
    return (side, longer) if height <= width else (longer, side)


def scale(image: Image.Image, size: tuple[int, int]) -> np.ndarray:
    """uint8 [height, width, 3] of an RGB image scaled to `size`, (height, width).

    Pillow's bilinear filter: where an image becomes smaller, each new pixel is a mean over all
    that it covers, so that no fine crack falls between the samples.
    """
    height, width = (int(length) for length in size)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


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
