"""Exported models, loaded by plain TensorFlow 2 in a process without this package."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tiny_run

from AEROBI.commands import export as export_command
from AEROBI.data_utils import CLASS_NAMES
from AEROBI.records import split_predictions
from AEROBI.trained.classifier import open_classifier
from AEROBI.trained.overrides import Overrides
from AEROBI.trained.tflite_classifier import TFLiteClassifier

LOADER = """
import json, sys
import numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
files = tf.constant([open(path, "rb").read() for path in sys.argv[3:]])
answer = model.signatures["serving_default"](images=files)
pixels = tf.stack([tf.cast(tf.io.decode_png(file, 3), tf.float32) for file in files[:1]])
of_pixels = model.signatures["pixels"](images=pixels)
labels = model.signatures["labels"]()
json.dump({"probabilities": answer["probabilities"].numpy().tolist(),
           "of_pixels": of_pixels["probabilities"].numpy().tolist(),
           "rows": [list(array.shape) for array in answer.values()],
           "class_names": [name.decode() for name in labels["class_names"].numpy()],
           "thresholds": labels["thresholds"].numpy().tolist()}, open(sys.argv[2], "w"))
"""


@pytest.fixture(scope="module")
def exported(tiny_final, tmp_path_factory):
    """The folder that the command wrote, and what it said."""
    folder = tmp_path_factory.mktemp("exported")
    output = tiny_run.aerobi("export", tiny_final, f"--output={folder / 'model'}",
                             "--thresholds=tuned", f"--cache_dir={folder / 'cache'}")
    return folder / "model", output


def test_plain_tensorflow_loads_it(exported, tiny_data, tiny_final, tmp_path):
    model, _ = exported
    kept = split_predictions.load(tiny_final / "predictions_test.npz")
    paths = [str(tiny_data / path) for path in kept.paths[:4]]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    subprocess.run([sys.executable, "-c", LOADER, str(model / "1"), str(tmp_path / "answer.json"),
                    *paths], check=True, timeout=180, cwd=tmp_path, env=environment)
    answer = json.loads((tmp_path / "answer.json").read_text())
    expected = 1 / (1 + np.exp(-kept.logits[:4]))
    # It decodes and scales by itself: at most a grey level of rounding away from Pillow.
    np.testing.assert_allclose(answer["probabilities"], expected, atol=5e-3)
    np.testing.assert_allclose(answer["of_pixels"][0], answer["probabilities"][0], atol=1e-6)
    assert answer["class_names"] == list(CLASS_NAMES)
    assert all(shape[0] == 4 for shape in answer["rows"])  # what TF Serving asks for
    description = json.loads((model / "model.json").read_text())
    np.testing.assert_allclose(answer["thresholds"], description["thresholds"], atol=1e-5)


def test_every_form_was_compared_on_the_whole_test_split(exported):
    model, output = exported
    differences = json.loads((model / "model.json").read_text())["differences"]
    assert set(differences) == {"saved_model", "saved_model, from image files",
                                "model.tflite", "model_dynamic_range.tflite"}
    for name, difference in differences.items():
        assert difference["images"] == 12 and name in output
        assert difference["largest"] < (0.2 if "dynamic" in name else 5e-3)
    assert differences["saved_model"]["largest"] < 1e-5
    assert differences["model.tflite"]["largest"] < 1e-4


def test_it_is_a_classifier_like_any_other(exported, tiny_final):
    model, _ = exported
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    with open_classifier(tiny_final, Overrides()) as classifier:
        expected = classifier.probabilities(images)
    for place in (model, model / "1"):
        with open_classifier(place, Overrides()) as classifier:
            assert classifier.class_names == CLASS_NAMES and classifier.img_size == 16
            np.testing.assert_allclose(classifier.probabilities(images), expected, atol=1e-5)
    lite = TFLiteClassifier(model / "model.tflite", CLASS_NAMES)
    np.testing.assert_allclose(lite.probabilities(images), expected, atol=1e-4)


def test_a_quantised_model_is_smaller(exported):
    model, _ = exported
    assert ((model / "model_dynamic_range.tflite").stat().st_size
            < (model / "model.tflite").stat().st_size)


def test_nothing_is_overwritten_and_nothing_half_written_stays(exported, tiny_final, tmp_path,
                                                               capsys):
    model, _ = exported
    before = sorted(model.iterdir())
    assert export_command.main([str(tiny_final), f"--output={model}"]) == 2
    assert "exists already" in capsys.readouterr().err and sorted(model.iterdir()) == before
    assert export_command.main([str(tiny_final), f"--output={tmp_path}/a/b"]) == 2
    assert export_command.main([str(tmp_path), f"--output={tmp_path}/model"]) == 2
    assert export_command.main([str(tiny_final), f"--output={tmp_path}/model",
                                "--data_path=/no/such"]) == 2
    assert not list(tmp_path.iterdir())
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_that_is_no_export_is_refused(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"torn")
    with pytest.raises(ValueError, match="no model that"), \
            open_classifier(tmp_path, Overrides()):
        pass
