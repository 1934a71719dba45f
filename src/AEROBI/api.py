"""The package as functions: search, select, train, evaluate and load, for notebooks and scripts.

Each does what the command of the same name does; `import AEROBI` offers them as `AEROBI.search` and
so on, and imports nothing of TensorFlow before one is called.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from AEROBI.architecture import Architecture as Architecture
from AEROBI.config import ConfigError
from AEROBI.flags import presets, table
from AEROBI.flags.from_run_dir import stored_search
from AEROBI.micro.cells import MicroArchitecture as MicroArchitecture
from AEROBI.prediction.photos import patch, read_photo
from AEROBI.records import ranking
from AEROBI.records.ranking import BN_MODES, Ranking
from AEROBI.run.regular_files import read_bytes
from AEROBI.run.run_dir_checks import BEST_ARCHITECTURE_FILE
from AEROBI.search_space.spaces import AnyArchitecture, space_of
from AEROBI.trained.overrides import DataPlace, Overrides

if TYPE_CHECKING:
    from AEROBI.trained.classifier import Classifier
    from AEROBI.trained.evaluation import EvaluationReport

Photograph = str | PathLike | np.ndarray


class RunFailedError(RuntimeError):
    """A search or training that ended before its last epoch; its log says why."""


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """A run that came to its end."""

    directory: Path  # its --output_dir

    @property
    def best(self) -> AnyArchitecture:
        """What `select` ranked first of a search, or, before that, what its last lines name best.

        Raises:
            ConfigError: the run is no search, or was not finished.
        """
        if (ranked := self.directory / ranking.FILE).exists():
            found = ranking.load(ranked)
            return found.architecture_of(found.architectures[0])
        space = space_of(stored_search(self.directory).config.child)
        try:
            text = read_bytes(self.directory / BEST_ARCHITECTURE_FILE).decode("utf-8")
        except FileNotFoundError:
            raise ConfigError(f"{self.directory}: the search is not finished; let it go "
                              "on") from None
        return space.parse(text)


class TrainedNetwork:
    """A network in use, until `close` or the end of a `with` block."""

    def __init__(self, classifier: "Classifier", stack: ExitStack):
        """The stack closes the network's session."""
        self._classifier, self._stack = classifier, stack
        self.class_names: tuple[str, ...] = classifier.class_names
        self.img_size: int = classifier.img_size  # side S of a patch, pixels
        self.thresholds: np.ndarray = classifier.thresholds  # float32 [classes]

    def predict(self, images: Sequence[Photograph] | np.ndarray, batch_size: int = 32
                ) -> np.ndarray:
        """Probabilities of each class, float32 [N, classes].

        Args:
            images: uint8 [N, H, W, 3], or a sequence whose items are each uint8 [H, W, 3] of any
                size, or the path of a PNG or JPEG file. Of each the shorter side is scaled to a
                patch, and the centre is cut out, as in evaluation.
            batch_size: patches the network sees at once.

        Raises:
            PhotoError: a file that cannot be read.
            TypeError: an image that is no uint8 [H, W, 3].
        """
        rows = [np.zeros([0, len(self.class_names)], np.float32)]
        for start in range(0, len(images), batch_size):
            batch = images[start:start + batch_size]
            patches = [patch(_photograph(image), self.img_size, self._classifier.aliased_scaling)
                       for image in batch]
            rows.append(self._classifier.probabilities(np.stack(patches)))
        return np.concatenate(rows)

    def close(self) -> None:
        """Gives back the network's memory."""
        self._stack.close()

    def __enter__(self) -> "TrainedNetwork":
        """Enters a `with` block, whose end closes the network."""
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the network, as `close` does."""
        self.close()


def search(data_path: str | PathLike, output_dir: str | PathLike = "outputs",
           **flags: Any) -> FinishedRun:
    """Searches for architectures, as `aerobi search` does.

    A run that is in `output_dir` already goes on where it was.

    Args:
        data_path: folder of the data set, or its CSV file.
        output_dir: folder the run writes into.
        flags: values of further flags by their names, `num_epochs=21` for --num_epochs=21;
            `aerobi search --helpfull` lists them. `recipe="published"` begins with those of the
            paper instead of the tuned ones.

    Raises:
        ConfigError: a keyword that is no flag, or values that do not go together.
        RunFailedError: the run stopped early; what was wrong is in its log.
    """
    return _run("search", {"data_path": data_path, "output_dir": output_dir, **flags})


def train(data_path: str | PathLike, architecture: AnyArchitecture | str,
          output_dir: str | PathLike = "outputs_2", **flags: Any) -> FinishedRun:
    """Trains one architecture from scratch, as `aerobi final` does.

    Args:
        data_path: folder of the data set, or its CSV file.
        architecture: itself, its string, or what --child_fixed_arc takes ("outputs#best").
        output_dir: folder the run writes into; a run that is there goes on where it was.
        flags: as for `search`.

    Raises:
        ConfigError, RunFailedError: as for `search`.
    """
    return _run("final", {"data_path": data_path, "output_dir": output_dir,
                          "child_fixed_arc": str(architecture), **flags})


def select(run: FinishedRun | str | PathLike, samples: int = 100, bn: str = BN_MODES[0],
           policy: str = "controller") -> Ranking:
    """Ranks architectures of a finished search, and writes its architectures.json.

    Args:
        run: the search, or its directory.
        samples: how many architectures to draw.
        bn: whose BN statistics they are scored with: "recalibrated", "moving" or "batch".
        policy: who draws, "controller" or "random".

    Raises:
        ConfigError, CheckpointError, DataError: the search, its weights or data cannot be used.
    """
    from AEROBI.selection.select import Draws
    from AEROBI.selection.select import select as rank

    directory = _directory(run)
    found = rank(directory, Draws(samples, policy), bn)
    ranking.save(directory / ranking.FILE, found)
    return found


def evaluate(model: FinishedRun | str | PathLike, split: str = "test", tuned: bool = False,
             data_path: str | PathLike = "") -> "EvaluationReport":
    """All metrics of a trained network on a split, with 95 % intervals; `.summary()` is a table.

    Args:
        model: a run or its directory, the prefix of a checkpoint, or an exported model.
        split: "train", "val" or "test".
        tuned: thresholds tuned on the validation split for the exact match; else the model's.
        data_path: the data set; empty: that of the run.

    Raises:
        ConfigError, CheckpointError, DataError: model or data set cannot be used.
    """
    from AEROBI.trained.evaluation import CENTRE
    from AEROBI.trained.evaluation import evaluate as measure

    return measure(_directory(model), split, tuned, CENTRE, Overrides(),
                   DataPlace(str(data_path), ""))


def load(model: FinishedRun | str | PathLike,
         architecture: AnyArchitecture | str | None = None) -> TrainedNetwork:
    """Opens a trained network for `predict`.

    Args:
        model: a run or its directory, the prefix of a checkpoint, or an exported model.
        architecture: where the model does not say which one it is.

    Raises:
        ConfigError, CheckpointError: it cannot be opened.
    """
    from AEROBI.trained.classifier import open_classifier

    text = None if architecture is None else str(architecture)
    with ExitStack() as stack:
        classifier = stack.enter_context(open_classifier(_directory(model), Overrides(text)))
        return TrainedNetwork(classifier, stack.pop_all())


def _run(kind: str, flags: Mapping[str, Any]) -> FinishedRun:
    from AEROBI import main

    unknown = [name for name in flags if name not in (*table.DEFAULTS, "recipe")]
    if unknown:
        raise ConfigError(f"{unknown[0]}: is no flag; `aerobi search --helpfull` lists all")
    words = [f"--{'' if value else 'no'}{name}" if isinstance(value, bool) else f"--{name}={value}"
             for name, value in flags.items() if value is not None]
    words = presets.words(kind, words)
    table.parse(words)  # what is wrong is an exception here, and a log line there
    status = main.main(words)
    if status:
        raise RunFailedError(f"{flags['output_dir']}: the run ended with status {status}; its log "
                             "says why")
    return FinishedRun(Path(flags["output_dir"]))


def _directory(run: FinishedRun | str | PathLike) -> Path:
    return run.directory if isinstance(run, FinishedRun) else Path(run)


def _photograph(image: Photograph) -> Image.Image:
    if not isinstance(image, np.ndarray):
        return read_photo(str(image))
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise TypeError(f"an image is uint8 [H, W, 3], not {image.dtype} {list(image.shape)}")
    return Image.fromarray(image)
