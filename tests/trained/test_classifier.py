"""A trained network in use, wherever it comes from."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import assert_close, golden_values
from written_by_published_code import published_checkpoint

from AEROBI.config import ConfigError
from AEROBI.data.packed_images import open_packed
from AEROBI.data_utils import CLASS_NAMES, read_data_set
from AEROBI.records import split_predictions
from AEROBI.trained.classifier import open_classifier
from AEROBI.trained.evaluation import Views, probabilities_of
from AEROBI.trained.model_source import find_trained_child
from AEROBI.trained.overrides import Overrides


def sigmoid(logits):
    return np.exp(-np.logaddexp(0, -logits))


@pytest.mark.parametrize("name", ["final_enas1", "final_shipped", "final_all_ops"])
def test_a_published_final_child(name, golden, tmp_path):
    arrays = golden(name)
    prefix = published_checkpoint(golden_values(arrays), tmp_path)
    given = Overrides(arrays["arc"].item().decode(), arrays["images"].shape[1])
    with open_classifier(tmp_path / "model.ckpt-123", given) as classifier:
        assert classifier.class_names == CLASS_NAMES
        found = classifier.logits(arrays["images"])
        assert_close(found, arrays["eval_logits"])
        assert_close(classifier.probabilities(arrays["images"]), sigmoid(arrays["eval_logits"]))
    # The name of one of its files is as good.
    assert str(find_trained_child(tmp_path / "model.ckpt-123.index", given).prefix) == prefix


def test_a_published_search_child_under_one_architecture(golden, tmp_path):
    arrays = golden("search_child")
    published_checkpoint(golden_values(arrays), tmp_path)
    for k in (0, 5):
        text = " ".join(map(str, arrays["arcs"][k]))
        given = Overrides(text, arrays["images"].shape[1])
        with open_classifier(tmp_path / "model.ckpt-123", given) as classifier:
            assert_close(classifier.logits(arrays["images"]), arrays["eval_logits"][k])


def test_a_published_checkpoint_does_not_say_its_architecture(golden, tmp_path):
    published_checkpoint(golden_values(golden("final_enas1")), tmp_path)
    with pytest.raises(ConfigError, match="--child_fixed_arc"):
        find_trained_child(tmp_path / "model.ckpt-123", Overrides())


def test_a_run_gives_its_best_epoch_or_its_last(tiny_final, tiny_data, tmp_path):
    split = open_packed(read_data_set(str(tiny_data)), 16, str(tmp_path))["test"]
    kept = split_predictions.load(tiny_final / "predictions_test.npz")
    probabilities = {}
    for last in (False, True):
        with open_classifier(tiny_final, Overrides(last=last)) as classifier:
            assert classifier.img_size == 16 and classifier.class_names == CLASS_NAMES
            probabilities[last] = probabilities_of(classifier, split, Views())
    assert_close(probabilities[False], sigmoid(kept.logits))
    assert ("/best/" in str(find_trained_child(tiny_final, Overrides()).prefix)
            and "/checkpoints/" in str(find_trained_child(tiny_final, Overrides(last=True)).prefix))
    epochs = 3
    assert (kept.epoch == epochs - 1) == np.allclose(
        probabilities[False], probabilities[True], atol=1e-6)


def test_a_search_is_used_with_its_best_architecture_or_another(tiny_search):
    written = (tiny_search / "best_architecture.txt").read_text()
    child = find_trained_child(tiny_search, Overrides())
    assert " ".join(map(str, child.config.fixed_arc)) == written.strip()
    other = find_trained_child(tiny_search, Overrides("1 1 1 1 1 1"))
    assert other.config.fixed_arc == (1,) * 6 and other.config.network == "search"
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    found = []
    for given in (Overrides(), Overrides("1 1 1 1 1 1")):
        with open_classifier(tiny_search, given) as classifier:
            found.append(classifier.probabilities(images))
    assert found[0].shape == (3, 6) and not np.allclose(*found)


@pytest.mark.parametrize("make, part", [
    (lambda folder: folder, "neither a run directory nor an exported model"),
    (lambda folder: folder / "nothing", "no such run directory"),
    (lambda folder: (folder / "x.index").write_text("torn") and folder / "x", "cannot be read"),
])
def test_what_is_no_model_is_refused(make, part, tmp_path):
    with pytest.raises((ConfigError, RuntimeError), match=part):
        find_trained_child(make(tmp_path), Overrides())


def test_another_checkpoint_is_refused(tmp_path):
    tf.get_variable("w", initializer=1.0)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        tf.train.Saver().save(session, str(tmp_path / "other"))
    with pytest.raises(ConfigError, match="holds no child"):
        find_trained_child(tmp_path / "other", Overrides())


def test_an_architecture_for_a_final_training_is_refused(tiny_final):
    with pytest.raises(ConfigError, match="leave the flag out"):
        find_trained_child(tiny_final, Overrides("1 1 1 1 1 1"))
