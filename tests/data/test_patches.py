"""Scaling and cutting of patches: one rule for training, evaluation, prediction and reports."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from codebrim_tree import smooth_image
from PIL import ExifTags, Image, ImageOps

from AEROBI.config import ChildConfig
from AEROBI.data import patches
from AEROBI.data.image_files import decode, scaled_size
from AEROBI.data.packed_images import open_packed
from AEROBI.data.patches import centre_corner, centre_crop, cut, five_corners, scale
from AEROBI.data_utils import read_data_set
from AEROBI.prediction.photos import patch, read_photo
from AEROBI.trained.model_source import TrainedChild
from AEROBI.trained.saved_model import _patches_of_pixels


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


def test_aliased_scaling_is_that_of_the_published_data_loader(golden):
    """To half a grey level: what is packed is whole numbers."""
    arrays = golden("resize")
    for k in range(4):
        image, expected, side = (arrays[f"{name}_{k}"] for name in ("image", "scaled", "side"))
        size = patches.scaled_size(*image.shape[:2], int(side), aliased=True)
        assert size == expected.shape[:2]
        found = patches.scale(Image.fromarray(image), size, aliased=True)
        assert found.dtype == np.uint8
        assert np.abs(found - expected).max() <= 0.5 + 1e-3
    small = patches.scale(Image.fromarray(arrays["image_1"]), (60, 32))
    assert np.abs(small.astype(int) - arrays["scaled_1"]).max() > 2  # ours is another rule


def test_an_exported_graph_scales_by_the_same_rule(golden):
    arrays = golden("resize")
    for k in range(4):
        image, side = arrays[f"image_{k}"], int(arrays[f"side_{k}"])
        child = TrainedChild(Path(), ChildConfig(1, 2, 1, 6), side, (), None, aliased_scaling=True)
        found = _patches_of_pixels(tf.constant(image[np.newaxis], tf.float32), child)
        with tf.Session() as session:
            (found,) = session.run(found)
        expected = centre_crop(arrays[f"scaled_{k}"], side)
        assert np.abs(found - expected).max() <= 0.5 + 1e-3
        assert np.abs(found.astype(int) - patch(Image.fromarray(image), side, True)).max() <= 1


def test_packed_images_are_scaled_by_either_rule_side_by_side(golden, tmp_path):
    """The rule is part of the fingerprint: neither file is taken for the other, both stay."""
    arrays = golden("resize")
    root = tmp_path / "data"
    root.mkdir()
    rows = ["img_path,split_type,Crack,Rust"]
    for split in ("train", "val", "test"):
        for label in range(2):
            Image.fromarray(arrays["image_0"]).save(root / f"{split}{label}.png")
            rows.append(f"{split}{label}.png,{split},{label},{1 - label}")
    (root / "labels.csv").write_text("\n".join(rows))
    data_set = read_data_set(str(root / "labels.csv"))
    packed = {aliased: open_packed(data_set, 24, str(tmp_path / "cache"), aliased)
              for aliased in (False, True, False, True)}
    assert np.abs(packed[True]["val"].image(0) - arrays["scaled_0"]).max() <= 0.5 + 1e-3
    assert not np.array_equal(packed[True]["val"].image(0), packed[False]["val"].image(0))
    files = sorted((tmp_path / "cache").glob("*.h5"))
    assert len(files) == 2
    files[0].rename(files[1])  # even under the other's name
    again = open_packed(data_set, 24, str(tmp_path / "cache"), "aliased" in files[1].name)
    for split in again:
        np.testing.assert_array_equal(
            again[split].image(0), packed["aliased" in files[1].name][split].image(0))


@pytest.mark.parametrize("kind", ["png", "jpg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_image_is_turned_as_its_exif_says_everywhere(tmp_path, kind, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = str(tmp_path / f"x.{kind}")
    stored = Image.fromarray(smooth_image(40, 60, np.random.default_rng(0)))
    stored.save(path, exif=exif)
    with Image.open(path) as image:
        turned = ImageOps.exif_transpose(image).convert("RGB")
    size = scaled_size(path, 24)
    assert size == ((24, 36) if orientation < 5 else (36, 24))
    np.testing.assert_array_equal(decode(path, size), scale(turned, size))
    np.testing.assert_array_equal(patch(read_photo(path), 24), centre_crop(decode(path, size), 24))


def test_damaged_exif_costs_nothing_but_the_turn(tmp_path):
    path = str(tmp_path / "x.jpg")
    Image.fromarray(smooth_image(40, 60, np.random.default_rng(0))).save(
        path, exif=b"Exif\0\0MM\0*\0\0\xff\xff" + bytes(7))
    assert decode(path, scaled_size(path, 24)).shape == (24, 36, 3)
