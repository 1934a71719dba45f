"""A TFLite file in use; without TensorFlow where LiteRT is there (`pip install '.[litert]'`)."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from AEROBI.config import ConfigError
from AEROBI.run.regular_files import read_bytes, read_json
from AEROBI.scoring.thresholds import DEFAULT

SUFFIX = ".tflite"
DESCRIPTION = "model.json"  # beside the file: classes, thresholds, patch size


class TFLiteClassifier:
    """A TFLite model in use, image by image; a `classifier.Classifier`."""

    def __init__(self, path: Path, class_names: Sequence[str],
                 thresholds: Sequence[float] | None = None, aliased_scaling: bool = False):
        """Reads the file; its number of outputs is that of the class names.

        Raises:
            ConfigError: it is no model of `aerobi export`.
        """
        try:
            self._interpreter = _interpreter(path)
            self._interpreter.allocate_tensors()
            (self._input,) = self._interpreter.get_input_details()
            (self._output,) = self._interpreter.get_output_details()
            self.img_size = int(self._input["shape"][1])
            fits = (tuple(self._input["shape"]) == (1, self.img_size, self.img_size, 3)
                    and tuple(self._output["shape"]) == (1, len(class_names)))
        except (OSError, RuntimeError, ValueError, IndexError) as error:
            raise ConfigError(f"{path}: is no model that `aerobi export` wrote "
                              f"({str(error).splitlines()[0]})") from None
        if not fits:
            raise ConfigError(f"{path}: is not for patches and {len(class_names)} classes")
        self.class_names, self.aliased_scaling = tuple(class_names), aliased_scaling
        self.thresholds = np.full(len(class_names), DEFAULT, np.float32)
        if thresholds is not None:
            self.thresholds[:] = thresholds

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n, S, S, 3] patches → float32 [n, classes]."""
        rows = []
        for image in images:
            self._interpreter.set_tensor(
                self._input["index"], image[np.newaxis].astype(np.float32))
            self._interpreter.invoke()
            rows.append(self._interpreter.get_tensor(self._output["index"])[0])
        return np.stack(rows)


def open_tflite(path: Path) -> TFLiteClassifier:
    """A TFLite file of `aerobi export`, with the model.json that was written beside it.

    Raises:
        ConfigError: one of the two is missing or no such file.
    """
    description = path.with_name(DESCRIPTION)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        record = read_json(description)
        names = [str(name) for name in record["class_names"]]
        thresholds = [float(threshold) for threshold in record["thresholds"]]
        aliased = record.get("aliased_scaling")
        if len(thresholds) != len(names):
            raise ValueError("as many thresholds as classes are needed")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{description}: does not name the classes of {path.name} ({error}); "
                          "copy the file that was exported with it") from None
    return TFLiteClassifier(path, names, thresholds, aliased is True)


def _interpreter(path: Path) -> Any:
    """LiteRT's; where it is not installed, the one inside TensorFlow, which takes seconds."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow  # its module lite is lazy: an attribute, and nothing to import from

        Interpreter = tensorflow.lite.Interpreter
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated")
        return Interpreter(model_content=read_bytes(path))
