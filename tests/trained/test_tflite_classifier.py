"""A TFLite file in use: the same rows as the SavedModel, refusals, no TensorFlow with LiteRT."""

import importlib.util
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tiny_run

from AEROBI.config import ConfigError
from AEROBI.trained.classifier import open_classifier
from AEROBI.trained.export import export
from AEROBI.trained.overrides import Overrides
from AEROBI.trained.tflite_classifier import open_tflite


@pytest.fixture(scope="module")
def exported(tiny_final, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "model"
    export(tiny_final, folder)
    return folder


def predict(*words) -> list[dict]:
    done = subprocess.run(
        [sys.executable, "-m", "AEROBI.cli", "predict", *map(str, words), "--format", "jsonl"],
        capture_output=True, text=True, env=tiny_run.environment(), check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_same_rows_as_the_saved_model(exported, tiny_data):
    with open_classifier(exported, Overrides()) as expected:
        rows = predict(exported / "model.tflite", tiny_data / "test")
        assert len(rows) == 12
        patches = np.random.default_rng(0).integers(
            0, 256, (5, expected.img_size, expected.img_size, 3), np.uint8)
        with open_classifier(exported / "model.tflite", Overrides()) as found:
            assert found.class_names == expected.class_names
            assert found.img_size == expected.img_size
            np.testing.assert_allclose(found.probabilities(patches),
                                       expected.probabilities(patches), rtol=0, atol=1e-5)


@pytest.mark.skipif(importlib.util.find_spec("ai_edge_litert") is None, reason="needs LiteRT")
def test_lite_rt_needs_no_tensorflow(exported, tiny_data):
    photo = next((tiny_data / "test").rglob("*.png"))
    code = ("import sys; sys.modules['tensorflow'] = None; from AEROBI import cli; "
            f"sys.exit(cli.main(['predict', {str(exported / 'model.tflite')!r}, {str(photo)!r}]))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=tiny_run.environment(), check=False)
    assert (done.returncode, done.stderr) == (0, "") and str(photo) in done.stdout, done.stderr


def test_what_is_no_model_is_refused(exported, tmp_path):
    with pytest.raises(ConfigError, match="no such file"):
        open_tflite(tmp_path / "gone.tflite")
    copy = pathlib.Path(shutil.copy(exported / "model.tflite", tmp_path))
    with pytest.raises(ConfigError, match=r"model\.json"):
        open_tflite(copy)
    record = json.loads((exported / "model.json").read_text())
    record["class_names"], record["thresholds"] = ["a"], [0.5]
    (tmp_path / "model.json").write_text(json.dumps(record))
    with pytest.raises(ConfigError, match="1 classes"):
        open_tflite(copy)
    copy.write_bytes(b"no flatbuffer" * 100)
    with pytest.raises(ConfigError, match="aerobi export"):
        open_tflite(copy)
