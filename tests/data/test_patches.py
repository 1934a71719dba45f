"""Scaling and cutting of patches: one rule for training, evaluation, prediction and reports."""

import numpy as np
import pytest
from codebrim_tree import smooth_image
from PIL import Image

from AEROBI.data.image_files import decode, scaled_size
from AEROBI.data.patches import centre_corner, centre_crop, cut, five_corners
from AEROBI.prediction.photos import patch, read_photo


def test_corners_stay_inside():
    assert centre_corner(20, 30, 16) == (2, 7)
    assert five_corners(20, 30, 16)[0] == (2, 7)
    assert len(five_corners(20, 30, 16)) == 5
    for top, left in five_corners(20, 30, 16):
        assert 0 <= top <= 4 and 0 <= left <= 14


def test_corners_of_many_images_are_those_of_each():
    heights, widths = np.array([20, 31, 16]), np.array([30, 16, 17])
    tops, lefts = centre_corner(heights, widths, 16)
    assert list(zip(tops, lefts)) == [
        centre_corner(*size, 16) for size in zip(heights.tolist(), widths.tolist())]


def test_a_patch_is_a_view():
    image = np.arange(5 * 7 * 3).reshape(5, 7, 3)
    np.testing.assert_array_equal(centre_crop(image, 3), image[1:4, 2:5])
    assert cut(image, (2, 4), 3).base is not None


@pytest.mark.parametrize("width, height", [(61, 47), (47, 61), (33, 33), (25, 24), (8, 100)])
def test_a_photograph_is_cut_as_an_image_of_a_data_set(tmp_path, width, height):
    path = str(tmp_path / "x.png")
    Image.fromarray(smooth_image(height, width, np.random.default_rng(0))).save(path)
    for side in (16, 24, 40):
        expected = centre_crop(decode(path, scaled_size(path, side)), side)
        assert expected.shape == (side, side, 3)
        np.testing.assert_array_equal(patch(read_photo(path), side), expected)
