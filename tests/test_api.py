"""The package as functions: the README's lines, keywords, images of all kinds, a quick import."""

import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tiny_run
from PIL import Image

import AEROBI
from AEROBI.config import ConfigError
from AEROBI.prediction.photos import PhotoError
from AEROBI.trained.classifier import open_classifier
from AEROBI.trained.overrides import Overrides

README = pathlib.Path(__file__).parents[1] / "README.md"


def python(code: str, **options) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], text=True, capture_output=True,
                          env=tiny_run.environment(), check=False, **options)


def test_the_lines_of_the_readme(tmp_path):
    (code,) = re.findall(r"^```python\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)
    tiny_run.make_data(tmp_path / "data")
    Image.new("RGB", (300, 200), (120, 130, 125)).save(tmp_path / "bridge.jpg")
    done = python(code, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test split, 95 % bootstrap intervals" in done.stdout
    (row,) = re.findall(r"\[\[(.*?)\]\]", done.stdout, re.S)
    probabilities = np.array(row.split(), float)
    assert probabilities.shape == (6,) and ((probabilities >= 0) & (probabilities <= 1)).all()
    assert (tmp_path / "outputs/architectures.json").exists()


def test_an_import_alone_is_quick():
    code = ("import time; began = time.perf_counter(); import AEROBI; "
            "took = time.perf_counter() - began; import sys; "
            "assert 'tensorflow' not in sys.modules and 'numpy' not in sys.modules; "
            "assert {'Architecture', 'search', 'load'} <= set(dir(AEROBI)); print(took)")
    took = min(float(python(code).stdout) for _ in range(3))
    assert took < 0.2


def test_what_is_not_there():
    with pytest.raises(AttributeError, match="no_such"):
        _ = AEROBI.no_such


def test_a_keyword_that_is_no_flag(tmp_path):
    with pytest.raises(ConfigError, match="num_epoch: is no flag"):
        AEROBI.search(tmp_path, tmp_path / "run", num_epoch=3)
    with pytest.raises(ConfigError, match="num_epochs"):
        AEROBI.train(tmp_path, "1 2 0", tmp_path / "run", num_epochs="many")
    with pytest.raises(RuntimeError, match="status 2"):
        AEROBI.search(tmp_path / "none", tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_images_of_all_kinds(tiny_final, tiny_data):
    paths = sorted((tiny_data / "test").rglob("*.png"))[:5]
    arrays = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    with AEROBI.load(tiny_final) as network, AEROBI.load(str(tiny_final)) as other:
        found = network.predict(paths, batch_size=2)
        assert found.shape == (5, 6) and found.dtype == np.float32
        np.testing.assert_allclose(network.predict(arrays), found, atol=1e-6)
        np.testing.assert_allclose(other.predict(list(map(str, paths))), found, atol=1e-6)
        assert network.predict([]).shape == (0, 6) and network.class_names[0] == "Background"
        patches = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
        with open_classifier(tiny_final, Overrides()) as classifier:
            np.testing.assert_allclose(
                network.predict(patches), classifier.probabilities(patches), atol=1e-6)
        with pytest.raises(TypeError, match="uint8"):
            network.predict(patches / 255)
        with pytest.raises(PhotoError, match=r"none\.png"):
            network.predict(["none.png"])


def test_networks_are_closed_in_any_order(tiny_final):
    first, second = AEROBI.load(tiny_final), AEROBI.load(tiny_final)
    image = np.zeros((1, 20, 30, 3), np.uint8)
    first.close()
    assert second.predict(image).shape == (1, 6)
    second.close()


def test_a_final_training_has_no_best(tiny_final, tiny_search):
    from AEROBI.api import FinishedRun

    with pytest.raises(ConfigError, match="final training"):
        _ = FinishedRun(tiny_final).best
    assert FinishedRun(tiny_search).best == AEROBI.Architecture.parse(
        (tiny_search / "best_architecture.txt").read_text(), tiny_run.LAYERS)
