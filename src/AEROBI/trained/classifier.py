"""A trained network in use: patches in, probabilities out."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI.config import ConfigError
from AEROBI.flags.from_run_dir import is_run
from AEROBI.run.checkpoints import first_line, quiet_tensorflow
from AEROBI.run.plain_path import plain_path
from AEROBI.run.restore import Restorer, child_variables
from AEROBI.tf_setup import session_config
from AEROBI.trained.known_operations import load, read_meta_graph
from AEROBI.trained.model_source import TrainedChild, find_trained_child
from AEROBI.trained.overrides import Overrides
from AEROBI.trained.saved_model import (
    ALIASED_SCALING,
    CLASS_NAMES,
    FILES,
    IMAGES,
    LABELS,
    PATCHES,
    PROBABILITIES,
    THRESHOLDS,
)
from AEROBI.trained.tflite_classifier import SUFFIX, open_tflite
from AEROBI.training.graphs import child_logits
from AEROBI.training.shared_weights import restorer_from_search


class Classifier(Protocol):
    """What every model can do, wherever it comes from."""

    class_names: tuple[str, ...]
    img_size: int  # side S of a patch, pixels
    thresholds: np.ndarray  # float32 [classes], probability from which a label is said to hold
    aliased_scaling: bool  # how photographs become patches, see `patches.scale`

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n, S, S, 3] patches → float32 [n, classes]."""
        ...


class Network(NamedTuple):
    """The ends of the graph of a network in use."""

    images: tf.Tensor  # uint8 [N, S, S, 3]
    logits: tf.Tensor  # float32 [N, classes]
    probabilities: tf.Tensor  # float32 [N, classes]


def build_network(child: TrainedChild) -> Network:
    """The evaluation graph of a network, in the current graph."""
    side = child.img_size
    images = tf.placeholder(tf.uint8, [None, side, side, 3], IMAGES)
    arc = tf.constant(child.config.fixed_arc, tf.int32)
    logits = child_logits(images, arc, child.config, 0, None)
    return Network(images, logits, tf.sigmoid(logits))


class CheckpointClassifier:
    """A network whose weights come from a checkpoint."""

    def __init__(self, child: TrainedChild, session: tf.Session, network: Network):
        """Takes a session that has the weights."""
        self.class_names, self.img_size = child.class_names, child.img_size
        self.aliased_scaling = child.aliased_scaling
        self.thresholds = np.full(len(child.class_names), 0.5, np.float32)
        self._logits, self._probabilities = (
            session.make_callable(tensor, [network.images])
            for tensor in (network.logits, network.probabilities))

    def logits(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n, S, S, 3] patches → float32 [n, classes]."""
        return self._logits(images)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n, S, S, 3] patches → float32 [n, classes]."""
        return self._probabilities(images)


class SavedModelClassifier:
    """A network that `aerobi export` wrote as a SavedModel."""

    def __init__(self, session: tf.Session, folder: Path, trusted: bool = False):
        """Loads it into the session's graph.

        Raises:
            ConfigError: it was not exported by this package, or is damaged.
        """
        graph = read_meta_graph(folder, trusted)
        try:
            with quiet_tensorflow(), plain_path(folder) as plain:
                load(graph, plain, session)
            signatures = graph.signature_def
            patches, files = signatures[PATCHES], signatures[FILES]
            labels = signatures[LABELS].outputs
            names, self.thresholds = session.run(
                [labels[CLASS_NAMES].name, labels[THRESHOLDS].name])
            self.aliased_scaling = ALIASED_SCALING in labels
            self.img_size = int(patches.inputs[IMAGES].tensor_shape.dim[1].size)
            self._run, self._run_files = (session.make_callable(
                signature.outputs[PROBABILITIES].name, [signature.inputs[IMAGES].name])
                for signature in (patches, files))
        except (tf.errors.OpError, OSError, KeyError, ValueError, RuntimeError) as error:
            raise ConfigError(f"{folder}: is no model that `aerobi export` wrote "
                              f"({first_line(error)})") from None
        self.class_names = tuple(name.decode("utf-8", "replace") for name in names)

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n, S, S, 3] patches → float32 [n, classes]."""
        return self._run(images)

    def probabilities_of_files(self, files: Sequence[bytes]) -> np.ndarray:
        """The contents of n PNG or JPEG files → float32 [n, classes]."""
        return self._run_files(np.array(files, object))


@contextmanager
def open_classifier(model: Path, given: Overrides) -> Iterator[Classifier]:
    """A model in use: a run directory, the prefix of a checkpoint, a SavedModel or a TFLite file.

    Raises:
        ConfigError: it cannot be told which network it is.
        CheckpointError: its weights cannot be read.
    """
    if model.suffix == SUFFIX:
        yield open_tflite(model)
        return
    exported = exported_folder(model)
    if exported is not None:
        with saved_model_classifier(exported, given.trusted) as classifier:
            yield classifier
    else:
        with classifier_of(find_trained_child(model, given)) as classifier:
            yield classifier


def exported_folder(model: Path) -> Path | None:
    """The SavedModel in a folder: itself, or the highest of numbered versions.

    A run directory is none, whatever somebody put into it.
    """
    if is_run(model):
        return None
    versions = sorted((file.parent for file in model.glob("*/saved_model.pb")
                       if file.parent.name.isdecimal()), key=lambda folder: int(folder.name))
    return next((folder for folder in (model, *reversed(versions))
                 if (folder / "saved_model.pb").is_file()), None)


@contextmanager
def classifier_of(child: TrainedChild) -> Iterator[CheckpointClassifier]:
    """Opens a network with its weights, for the length of the block.

    Raises:
        CheckpointError: they cannot be read.
    """
    with closing(tf.Session(graph=tf.Graph(), config=session_config())) as session:
        with session.graph.as_default():  # no longer: several networks may be open side by side
            network = build_network(child)
            restorer = (restorer_from_search(child.config) if child.of_search
                        else Restorer(child_variables()))
            restorer.restore(session, child.prefix)
        yield CheckpointClassifier(child, session, network)


@contextmanager
def saved_model_classifier(folder: Path,
                           trusted: bool = False) -> Iterator[SavedModelClassifier]:
    """Opens an exported SavedModel, for the length of the block."""
    with closing(tf.Session(graph=tf.Graph(), config=session_config())) as session:
        with session.graph.as_default():
            classifier = SavedModelClassifier(session, folder, trusted)
        yield classifier
