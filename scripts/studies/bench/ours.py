"""The project's own side: the graph of a run (`training.graphs`), fed without a stream."""

import dataclasses

import AEROBI  # noqa: F401  (before TensorFlow: it chooses the CPU kernels)

# isort: split
import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI.architecture import Architecture
from AEROBI.config import RunConfig
from AEROBI.run.restore import child_variables
from AEROBI.tf_setup import session_config
from AEROBI.training.graphs import build_child, build_controller, child_logits
from bench.setting import CLASSES, LEARNING_RATE, Batch, Setting

SEED = np.array([1, 2], np.int32)  # of the dropout


class Ours:
    """A child in a session of its own; the controller as well where it is asked for."""

    def __init__(self, setting: Setting, controller: bool = False, precision: str = "float32",
                 check: bool = True):
        """Builds the graph and initialises the weights; `check`: what only comparisons need."""
        self.setting = setting
        config = setting.config()
        if precision != "float32":
            config = dataclasses.replace(
                config, child=dataclasses.replace(config.child, precision=precision))
        size = setting.size
        with tf.Graph().as_default():
            graph = build_child(config, (tf.uint8, tf.uint8),
                                (tf.TensorShape([None, size, size, 3]),
                                 tf.TensorShape([None, CLASSES])))
            self.controller = build_controller(config.controller, 0) if controller else None
            self.graph, self.session = graph, tf.Session(config=session_config())
            if check:
                self._add_check(config)
            self._variables = {v.op.name: v for v in child_variables()}
            self._initialize = tf.global_variables_initializer()
        self.reset()
        labels = graph.evaluation.labels
        self._train = self.session.make_callable(
            list(graph.training), [graph.images, labels, graph.arc, graph.lr, graph.seed])
        self._evaluate = self.session.make_callable(
            graph.evaluation.logits, [graph.images, graph.arc])

    def _add_check(self, config: RunConfig) -> None:
        """The logits of training without dropout; they cost the other fetches nothing."""
        graph = self.graph
        without_dropout = dataclasses.replace(config.child, keep_prob=1.0)
        logits = child_logits(graph.images, graph.arc, without_dropout, 0, graph.seed)
        self._training_logits = self.session.make_callable(
            logits, [graph.images, graph.arc, graph.seed])

    def reset(self) -> None:
        """Initial weights, the same every time, and no momentum."""
        self.session.run(self._initialize)

    def values(self) -> dict[str, np.ndarray]:
        """Copies of the child's variables, by name."""
        return {name: value.copy()
                for name, value in self.session.run(self._variables).items()}

    def train(self, batch: Batch, architecture: Architecture) -> list:
        """One step; what `TrainingFetches` fetches."""
        return self._train(*batch, _numbers(architecture), LEARNING_RATE, SEED)

    def evaluate(self, batch: Batch, architecture: Architecture) -> np.ndarray:
        """Logits float32 [N, classes], as for the controller's reward."""
        return self._evaluate(batch.images, _numbers(architecture))

    def training_logits(self, batch: Batch, architecture: Architecture) -> np.ndarray:
        """Logits with the statistics of the batch, without dropout."""
        return self._training_logits(batch.images, _numbers(architecture), SEED)

    def close(self) -> None:
        """Frees the session's memory."""
        self.session.close()


def _numbers(architecture: Architecture) -> np.ndarray:
    return np.array(architecture.numbers(), np.int32)
