"""The predictions of a split as a file."""

import numpy as np
import pytest

from AEROBI.records import split_predictions
from AEROBI.records.split_predictions import Predictions, PredictionsError

ONE = Predictions(7, ("Crack", "Rost\u00e4"), ("test/defects/\u00e9.png", "test/b.png", "c"),
                  np.array([[1, -2], [0.5, 3], [0, 0]], np.float32),
                  np.array([[1, 0], [0, 1], [1, 1]], np.uint8))


def test_what_is_saved_is_loaded(tmp_path):
    path = tmp_path / split_predictions.file_name("val")
    split_predictions.save(path, ONE)
    found = split_predictions.load(path)
    assert found[:3] == ONE[:3]
    np.testing.assert_array_equal(found.logits, ONE.logits)
    np.testing.assert_array_equal(found.labels, ONE.labels)
    assert [file.name for file in tmp_path.iterdir()] == ["predictions_val.npz"]


def damaged(content: bytes) -> list[bytes]:
    return [b"", b"no archive", content[:-40], content[:100]]


@pytest.mark.parametrize("k", range(4))
def test_a_damaged_file_is_refused(tmp_path, k):
    path = tmp_path / "p.npz"
    split_predictions.save(path, ONE)
    path.write_bytes(damaged(path.read_bytes())[k])
    with pytest.raises(PredictionsError, match=r"p\.npz"):
        split_predictions.load(path)


def test_objects_are_never_unpickled(tmp_path):
    path = tmp_path / "p.npz"
    np.savez(path, epoch=1, class_names=np.array(["a"]), paths=np.array([{}], object),
             logits=np.zeros((1, 1)), labels=np.zeros((1, 1)))
    with pytest.raises(PredictionsError):
        split_predictions.load(path)


def test_shapes_that_do_not_fit_are_refused(tmp_path):
    split_predictions.save(tmp_path / "p.npz", ONE._replace(labels=ONE.labels[:2]))
    with pytest.raises(PredictionsError, match="labels"):
        split_predictions.load(tmp_path / "p.npz")
