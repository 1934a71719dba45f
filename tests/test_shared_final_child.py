"""The shared final child against the final child, and what runs under an architecture."""

from typing import NamedTuple

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from AEROBI import models
from AEROBI.architecture import Architecture, flat_length
from AEROBI.config import ChildConfig, TrainConfig
from AEROBI.final_child import final_child
from AEROBI.image_ops import LayerMode
from AEROBI.shared_final_child import shared_final_child, shared_names, used_variables
from AEROBI.train_ops import child_update

LAYERS, SIDE = 6, 16
SMALL = ChildConfig(LAYERS, 4, 6, 6, keep_prob=1.0)
ARCHITECTURES = {
    "no skips": Architecture((0, 1, 2, 3, 4, 5), tuple((0,) * i for i in range(LAYERS))),
    "all skips": Architecture((5, 4, 3, 2, 1, 0), tuple((1,) * i for i in range(LAYERS))),
    "random": Architecture.random(LAYERS, np.random.default_rng(3))}


class Built:
    """A shared final child in training and in evaluation, gradients and updates of its loss."""

    def __init__(self, config: ChildConfig, data_format: str = "NHWC"):
        self.arc = tf.placeholder(tf.int32, [flat_length(config.num_layers)])
        self.images = tf.placeholder(tf.uint8, [None, SIDE, SIDE, 3])
        self.labels = tf.placeholder(tf.uint8, [None, 6])
        self.evaluated = shared_final_child(
            self.images, self.arc, config, LayerMode(data_format, False, 0))
        self.logits = shared_final_child(
            self.images, self.arc, config, LayerMode(data_format, True, 0))
        self.loss = models.cross_entropy(self.logits, self.labels)
        self.variables = tf.trainable_variables()
        self.used = used_variables([v.op.name for v in self.variables], self.arc, config)
        self.gradients = dict(zip(
            [v.op.name for v in self.variables], tf.gradients(self.loss, self.variables)))
        self.update = {l2: child_update(self.loss, self.variables, tf.constant(0.1),
                                        TrainConfig(l2_reg=l2), self.used).train_op
                       for l2 in (0.0, 5e-4)}

    def feeds(self, architecture: Architecture, batch) -> dict:
        return {self.images: batch[0], self.labels: batch[1], self.arc: architecture.numbers()}


class FinalStep(NamedTuple):
    """What a final child says of a batch, and its gradients and moving statistics by name."""

    evaluated: np.ndarray
    trained: np.ndarray
    loss: np.ndarray
    gradients: dict[str, np.ndarray]
    moved: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def built_once():
    with tf.Graph().as_default():
        return Built(SMALL)


@pytest.fixture
def built(built_once, graph):
    """The same for all tests; its graph is the one they build into, if they do."""
    with built_once.images.graph.as_default():
        yield built_once


@pytest.fixture
def batch():
    rng = np.random.default_rng(5)
    return (rng.integers(0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8),
            rng.integers(0, 2, (6, 6), dtype=np.uint8))


def random_values() -> dict[str, np.ndarray]:
    """For the child's variables; statistics and offsets are no first values, nor alike."""
    rng = np.random.default_rng(8)
    return {v.op.name: np.float32(rng.uniform(0.5, 1.5, v.shape) if v.shape.ndims == 1
                                  else rng.normal(0, 0.3, v.shape))
            for v in tf.global_variables() if "Momentum" not in v.op.name}


def final_step(architecture: Architecture, shared: dict[str, np.ndarray], batch,
               session) -> FinalStep:
    """Of the final child with the shared weights of `architecture`."""
    config = ChildConfig(LAYERS, 4, 6, 6, keep_prob=1.0, fixed_arc=tuple(architecture.numbers()))
    images, labels = map(tf.constant, batch)
    evaluated = final_child(images, config, LayerMode("NHWC", False, 0))
    trained = final_child(images, config, LayerMode("NHWC", True, 0))
    loss = models.cross_entropy(trained, labels)
    variables = tf.trainable_variables()
    gradients = {v.op.name: gradient for v, gradient in zip(
        variables, tf.gradients(loss, variables)) if gradient is not None}
    run = session({v.op.name: joined(v.op.name, architecture, shared)
                   for v in tf.global_variables()})
    before = run.run(evaluated)
    step = run.run([trained, loss, gradients])
    return FinalStep(before, *step, run.run(moving_statistics()))


def joined(name: str, architecture: Architecture, shared: dict[str, np.ndarray]) -> np.ndarray:
    """The value of a variable of the final child."""
    parts = [shared[part] for part in shared_names(name, architecture)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def moving_statistics() -> dict[str, tf.Variable]:
    return {v.op.name: v for v in tf.global_variables() if "/moving_" in v.op.name}


def assert_alike(ours, theirs) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_is_the_final_child_of_each_architecture(name, built, session, batch):
    """Logits, loss, gradients and moving statistics."""
    architecture = ARCHITECTURES[name]
    values = random_values()
    with tf.Graph().as_default():
        expected = final_step(architecture, values, batch, session)
    run = session(values)
    feeds = built.feeds(architecture, batch)
    assert_alike(run.run(built.evaluated, feeds), expected.evaluated)
    alive = {part for final_name in expected.gradients
             for part in shared_names(final_name, architecture)}
    trained, loss, gradients = run.run(
        [built.logits, built.loss, {part: built.gradients[part] for part in alive}], feeds)
    assert_alike(trained, expected.trained)
    assert_alike(loss, expected.loss)
    for final_name, gradient in expected.gradients.items():
        assert_alike(joined(final_name, architecture, gradients), gradient)
    moved = run.run(moving_statistics())
    for final_name, value in expected.moved.items():
        if is_used(final_name, architecture):
            assert_alike(moved[shared_names(final_name, architecture)[0]], value)


def is_used(name: str, architecture: Architecture) -> bool:
    """Whether a variable of the final child matters: it reduces all, also what nothing uses."""
    _, scope, *rest = name.split("/")
    if not rest or not rest[0].startswith("pool_at_"):
        return True
    layer, j = int(scope.removeprefix("layer_")), int(rest[1].removeprefix("from_"))
    return j == layer + 1 or any(bits[j] for bits in architecture.skips[layer + 1:])


@pytest.mark.parametrize("name", ["no skips", "random"])
def test_only_what_is_used_is_touched(name, built, session, batch):
    """Without L2, all other weights and moving statistics stay exactly as they are."""
    architecture = ARCHITECTURES[name]
    variables = {v.op.name: v for v in tf.global_variables() if "Momentum" not in v.op.name}
    config = ChildConfig(LAYERS, 4, 6, 6, fixed_arc=tuple(architecture.numbers()))
    with tf.Graph().as_default():
        final_child(tf.zeros([1, SIDE, SIDE, 3]), config, LayerMode("NHWC", False, 0))
        on_the_path = {part for v in tf.global_variables() if is_used(v.op.name, architecture)
                       for part in shared_names(v.op.name, architecture)}
    run = session(random_values())
    before = run.run(variables)
    run.run(built.update[0.0], built.feeds(architecture, batch))
    after = run.run(variables)
    changed = {key for key in variables if not np.array_equal(before[key], after[key])}
    assert changed <= on_the_path
    assert {key for key in on_the_path - changed if "moving_" in key} == set()
    flags = run.run(built.used, built.feeds(architecture, batch))
    assert {key for key, used in flags.items() if used} == on_the_path & set(flags)


def test_only_what_is_used_is_computed(built, session, batch):
    """By TensorFlow's own trace: one path, forward and backward."""
    architecture, trace = ARCHITECTURES["random"], tf.RunMetadata()
    run = session()
    run.run(built.update[5e-4], built.feeds(architecture, batch),
            tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE), trace)
    names = [node.node_name for device in trace.step_stats.dev_stats
             for node in device.node_stats]
    kernels = [name for name in names if "Conv2DBackpropFilter" in name]
    skips = sum(map(sum, architecture.skips))
    reductions = sum(is_used(f"child/layer_{layer}/pool_at_{layer}/from_{j}/", architecture)
                     for layer in (1, 3) for j in range(layer + 2))
    operations = 2 * sum(op < 4 for op in architecture.ops)  # the depthwise ones come to these
    stem, own_outputs = 1, LAYERS - 1
    assert len(kernels) == stem + operations + own_outputs + skips + reductions


def test_nchw_has_the_same_variables():
    def shapes(data_format):
        with tf.Graph().as_default():
            shared_final_child(tf.zeros([1, SIDE, SIDE, 3]), tf.zeros([flat_length(3)], tf.int32),
                               ChildConfig(3, 4, 6, 6), LayerMode(data_format, False, 0))
            return {v.op.name: v.shape.as_list() for v in tf.global_variables()}
    assert shapes("NCHW") == shapes("NHWC")
