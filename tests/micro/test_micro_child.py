"""A network of cells: against a slow numpy twin, shared against fixed form, and what runs."""

import itertools
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from AEROBI import models
from AEROBI.config import ChildConfig, TrainConfig
from AEROBI.image_ops import LayerMode
from AEROBI.micro.cells import CELL_OPERATIONS, Cell, MicroArchitecture, flat_length
from AEROBI.micro.layout import Shape, layers
from AEROBI.micro.micro_child import (
    fixed_cell,
    fixed_micro_child,
    shared_micro_child,
    shared_names,
    used_variables,
)
from AEROBI.tf_setup import session_config
from AEROBI.train_ops import child_update

NODES, SIDE, CLASSES = 2, 8, 3
SMALL = ChildConfig(3, 4, 5, CLASSES, keep_prob=1.0, search_for="micro", num_cells=NODES)
EVALUATION, TRAINING = LayerMode("NHWC", False, 0), LayerMode("NHWC", True, 0)
ARCHITECTURES = {
    "a chain": MicroArchitecture(Cell(((0, 1), (2, 2)), ((0, 1), (2, 3))),
                                 Cell(((1, 0), (2, 0)), ((4, 4), (1, 0)))),
    "all unused": MicroArchitecture(Cell(((0, 0), (0, 0)), ((3, 2), (4, 4))),
                                    Cell(((1, 1), (1, 1)), ((0, 0), (1, 1))))}


def random_values(seed=8):
    """For the variables of the graph; statistics and offsets are no first values, nor alike."""
    rng = np.random.default_rng(seed)
    return {v.op.name: np.float32(rng.uniform(0.5, 1.5, v.shape) if v.shape.ndims == 1
                                  else rng.normal(0, 0.3, v.shape))
            for v in tf.global_variables() if "Momentum" not in v.op.name}


# --- one cell against a slow twin ------------------------------------------------------


def twin_cell(cell, inputs, values):
    """Node by node, pixel by pixel, in float64; `inputs` [N, S, S, C] each."""
    tensors = [np.float64(x) for x in inputs]
    for node, (chosen, ops) in enumerate(zip(cell.inputs, cell.node_ops)):
        tensors.append(sum(
            twin_operation(op, tensors[number], f"node_{node}/{side}", values)
            for side, number, op in zip("xy", chosen, ops)))
    unused = [number for number in range(len(tensors))
              if not any(number in pair for pair in cell.inputs)]
    x = np.maximum(np.concatenate([tensors[number] for number in unused], 3), 0)
    return twin_norm(x @ np.float64(values["out/w"][0, 0]), "out", values)


def twin_operation(op, x, scope, values):
    name = CELL_OPERATIONS[op].name
    if name == "identity":
        return x
    if name.endswith("pooling"):
        reduce = np.max if name == "max_pooling" else np.mean
        return windows(x, 3, lambda window: reduce(window, (0, 1)))
    for stack in range(2):
        at = f"{scope}/stack_{stack}"
        depth, point = values[f"{at}/w_depth"][..., 0], values[f"{at}/w_point"][0, 0]
        size = len(depth)
        x = np.pad(np.maximum(x, 0), [(0, 0), [size // 2] * 2, [size // 2] * 2, (0, 0)])
        x = np.array([[[np.sum(image[i:i + size, j:j + size] * np.float64(depth), (0, 1))
                        for j in range(image.shape[1] - size + 1)]
                       for i in range(image.shape[0] - size + 1)] for image in x])
        x = twin_norm(x @ np.float64(point), at, values)
    return x


def windows(x, size, reduce):
    """Of real pixels alone: padding counts for nothing."""
    half, result = size // 2, np.zeros_like(x)
    for n, i, j in itertools.product(*map(range, x.shape[:3])):
        result[n, i, j] = reduce(x[n, max(0, i - half):i + half + 1, max(0, j - half):j + half + 1])
    return result


def twin_norm(x, scope, values):
    mean, variance, scale, offset = (np.float64(values[f"{scope}/bn/{name}"]) for name in (
        "moving_mean", "moving_variance", "scale", "offset"))
    return (x - mean) / np.sqrt(variance + 1e-4) * scale + offset


def test_cells_against_the_numpy_twin(session):
    """All operations on both sides, and all inputs of three nodes."""
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(2, 5, 5, 3)).astype(np.float32) for _ in range(2)]
    cells = [Cell(((0, 1), (2, 0), (3, 1)), ((0, 1), (2, 3), (4, 0))),
             Cell(((1, 0), (1, 2), (2, 3)), ((1, 2), (3, 4), (0, 4))),
             Cell(((1, 1), (0, 1), (0, 2)), ((2, 0), (4, 1), (1, 3))),
             Cell(((0, 0), (0, 0), (1, 0)), ((3, 2), (1, 0), (3, 1))),
             Cell(((0, 1), (2, 2), (1, 3)), ((4, 3), (0, 2), (2, 2)))]
    for node in range(3):
        assert {number for cell in cells for number in cell.inputs[node]} == set(range(node + 2))
    for side in range(2):
        assert {pair[side] for cell in cells for pair in cell.node_ops} == set(range(5))
    outputs = []
    for number, cell in enumerate(cells):
        with tf.variable_scope(f"cell_{number}", reuse=tf.AUTO_REUSE):
            outputs.append(fixed_cell(cell, list(map(tf.constant, inputs)),
                                      lambda x, node, side: x, EVALUATION))
    values = random_values()
    for number, (cell, got) in enumerate(zip(cells, session(values).run(outputs))):
        own = {name.removeprefix(f"cell_{number}/"): value for name, value in values.items()}
        np.testing.assert_allclose(got, twin_cell(cell, inputs, own), rtol=1e-4, atol=1e-4)


# --- where the cells are ---------------------------------------------------------------


def test_three_groups_with_reductions_between():
    stacked = layers(ChildConfig(6, 20, 5, 6, search_for="micro"))
    assert [layer.is_reduction for layer in stacked] == [
        False, False, True, False, False, True, False, False]
    assert [layer.shape for layer in stacked] == (
        [Shape(20, 0)] * 2 + [Shape(40, 1)] * 3 + [Shape(80, 2)] * 3)
    assert [layer.has_auxiliary for layer in stacked].index(True) == 6
    assert stacked[0].inputs == (Shape(60, 0), Shape(60, 0))
    assert stacked[3].inputs == (Shape(20, 0), Shape(40, 1))
    assert stacked[-1].depth == 1 and stacked[0].depth == 1 / 8
    assert Shape(1, 2).side(9) == 3
    assert [layer.is_reduction for layer in layers(ChildConfig(5, 1, 5, 6, search_for="micro"))
            ] == [False, True, False, True, False, False, False]


# --- the shared form -------------------------------------------------------------------


class Built:
    """The shared child in evaluation and training, its gradients and updates."""

    def __init__(self):
        self.arc = tf.placeholder(tf.int32, [flat_length(NODES)])
        self.images = tf.placeholder(tf.uint8, [None, SIDE, SIDE, 3])
        self.labels = tf.placeholder(tf.uint8, [None, CLASSES])
        self.evaluated = shared_micro_child(self.images, self.arc, SMALL, EVALUATION).main
        self.logits = shared_micro_child(self.images, self.arc, SMALL, TRAINING).main
        self.loss = models.cross_entropy(self.logits, self.labels)
        self.variables = tf.trainable_variables()
        self.used = used_variables([v.op.name for v in self.variables], self.arc, SMALL)
        self.gradients = dict(zip([v.op.name for v in self.variables],
                                  tf.gradients(self.loss, self.variables)))
        self.update = child_update(self.loss, self.variables, tf.constant(0.1),
                                   TrainConfig(l2_reg=0.0), self.used).train_op

        self.all = {v.op.name: v for v in tf.global_variables() if "Momentum" not in v.op.name}
        self.moving = {name: v for name, v in self.all.items() if "/moving_" in name}
        feeds = {name: tf.placeholder(v.dtype, v.shape) for name, v in self.all.items()}
        assign = tf.group(*(v.assign(feeds[name], read_value=False)
                            for name, v in self.all.items()))
        self.values, initialize = random_values(), tf.global_variables_initializer()
        slots = tf.variables_initializer([v for v in tf.global_variables()
                                          if v.op.name not in self.all])
        self.session = tf.Session(config=session_config())
        self.session.run(initialize)
        self.reset = lambda: self.session.run(
            [assign, slots], {feeds[name]: value for name, value in self.values.items()})

    def feeds(self, architecture, batch):
        return {self.images: batch[0], self.labels: batch[1], self.arc: architecture.numbers()}


@pytest.fixture(scope="module")
def built_once():
    """One graph and session for all tests: its first steps take longer than all the others."""
    with tf.Graph().as_default():
        built = Built()
    with built.session:
        yield built


@pytest.fixture
def built(built_once):
    built_once.reset()
    return built_once


@pytest.fixture
def batch():
    rng = np.random.default_rng(5)
    return (rng.integers(0, 256, (6, SIDE, SIDE, 3), dtype=np.uint8),
            rng.integers(0, 2, (6, CLASSES), dtype=np.uint8))


def fixed_config(architecture):
    return ChildConfig(**{**SMALL.__dict__, "fixed_arc": tuple(architecture.numbers())})


def joined(name, architecture, values):
    parts = [values[part] for part in shared_names(name, architecture, SMALL)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def moving_statistics():
    return {v.op.name: v for v in tf.global_variables() if "/moving_" in v.op.name}


def fixed_step(architecture, shared, batch, session):
    """Logits before, in training, the loss, gradients by name, statistics afterwards."""
    config = fixed_config(architecture)
    images, labels = map(tf.constant, batch)
    evaluated = fixed_micro_child(images, config, EVALUATION).main
    trained = fixed_micro_child(images, config, TRAINING).main
    loss = models.cross_entropy(trained, labels)
    variables = tf.trainable_variables()
    gradients = dict(zip([v.op.name for v in variables], tf.gradients(loss, variables)))
    run = session({v.op.name: joined(v.op.name, architecture, shared)
                   for v in tf.global_variables()})
    before = run.run(evaluated)
    return before, *run.run([trained, loss, gradients]), run.run(moving_statistics())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_both_forms_compute_the_same(name, built, session, batch):
    """Logits, loss, gradients and moving statistics."""
    architecture = ARCHITECTURES[name]
    before, logits, loss, gradients, moved = fixed_step(architecture, built.values, batch, session)
    run, feeds = built.session, built.feeds(architecture, batch)
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(run.run(built.evaluated, feeds), before, **close)
    alive = {part for key in gradients for part in shared_names(key, architecture, SMALL)}
    got = run.run([built.logits, built.loss, {part: built.gradients[part] for part in alive}],
                  feeds)
    np.testing.assert_allclose(got[0], logits, **close)
    np.testing.assert_allclose(got[1], loss, **close)
    for key, gradient in gradients.items():
        np.testing.assert_allclose(joined(key, architecture, got[2]), gradient, **close)
    statistics = run.run(built.moving)
    for key, value in moved.items():
        np.testing.assert_allclose(
            statistics[shared_names(key, architecture, SMALL)[0]], value, **close)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_only_what_is_used_is_touched(name, built, batch):
    """Without L2, all other weights and moving statistics stay exactly as they are."""
    architecture = ARCHITECTURES[name]
    fixed_micro_child(tf.zeros([1, SIDE, SIDE, 3]), fixed_config(architecture), EVALUATION)
    on_the_path = {part for v in tf.global_variables()
                   for part in shared_names(v.op.name, architecture, SMALL)}
    run = built.session
    run.run(built.update, built.feeds(architecture, batch))
    after = run.run(built.all)
    changed = {key for key, value in built.values.items()
               if not np.array_equal(value, after[key])}
    assert changed <= on_the_path
    assert not {key for key in on_the_path - changed if "moving_" in key}
    flags = run.run(built.used, built.feeds(architecture, batch))
    assert {key for key, used in flags.items() if used} == on_the_path & set(flags)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_only_what_is_sampled_runs(name, built, batch):
    """By TensorFlow's own trace, forward and backward."""
    architecture, trace = ARCHITECTURES[name], tf.RunMetadata()
    built.session.run(built.update, built.feeds(architecture, batch),
                      tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE), trace)
    names = [node.node_name for device in trace.step_stats.dev_stats
             for node in device.node_stats]
    stacked = layers(SMALL)
    cells = [architecture.reduction if layer.is_reduction else architecture.normal
             for layer in stacked]
    calibrations = sum(shape != layer.shape for layer in stacked for shape in layer.inputs)
    separable = sum(op < 2 for cell in cells for pair in cell.node_ops for op in pair)
    pointwise = 1 + calibrations + 2 * separable + sum(len(cell.unused) for cell in cells)
    depthwise_5x5 = sum(op == 1 for cell in cells for pair in cell.node_ops for op in pair)
    kernels = [name for name in names if re.fullmatch(r"(.*/)?\w+BackpropFilter(_\d+)?", name)]
    # Those of 5x5 come in two halves.
    assert len(kernels) == pointwise + 2 * separable + 2 * depthwise_5x5
    pooled = [name for name in names if "gradients" not in name
              and name.split("/")[-1].startswith(("MaxPool", "AvgPool"))]
    assert len(pooled) == sum(op in (2, 3) for cell in cells for pair in cell.node_ops
                              for op in pair)


def test_nchw_has_the_same_variables():
    def shapes(data_format):
        with tf.Graph().as_default():
            config = ChildConfig(**{**SMALL.__dict__, "num_cells": 1})
            shared_micro_child(tf.zeros([1, SIDE, SIDE, 3]), tf.zeros([8], tf.int32), config,
                               LayerMode(data_format, False, 0))
            return {v.op.name: v.shape.as_list() for v in tf.global_variables()}
    assert shapes("NCHW") == shapes("NHWC")


# --- what training adds ----------------------------------------------------------------


def test_drop_path_falls_with_depth_and_over_the_training(session):
    """All is kept in the first step of many; at the end the last layer keeps what is asked for."""
    from AEROBI.micro.drop_path import paths_of_layer

    config = ChildConfig(**{**SMALL.__dict__, "drop_path_keep_prob": 0.4})
    first, *_, last = layers(config)
    progress, seed = tf.placeholder(tf.float32, []), tf.placeholder(tf.int32, [2])
    mode = TRAINING._replace(progress=progress)
    x = tf.ones([4000, 1, 2, 3])
    paths = [paths_of_layer(layer, config, mode, seed)(x, node, side)
             for layer, node, side in ((first, 0, 0), (last, 0, 0), (last, 0, 1), (last, 1, 0))]
    run = session()
    early, *_ = run.run(paths, {progress: 0.0, seed: [3, 4]})
    np.testing.assert_array_equal(early, 1)
    early, *late = run.run(paths, {progress: 1.0, seed: [3, 4]})
    assert abs((early > 0).mean() - (1 - 0.6 / 5)) < 0.02
    for dropped in late:
        assert abs((dropped > 0).mean() - 0.4) < 0.03
        assert (np.ptp(dropped, (1, 2, 3)) == 0).all()  # of an image, all or nothing
        np.testing.assert_allclose(dropped.max(), 1 / 0.4, rtol=1e-6)
    kept = [dropped[:, 0, 0, 0] > 0 for dropped in late]
    assert all(0.4 < (mask == other).mean() < 0.62
               for mask, other in itertools.combinations(kept, 2))
    again = run.run(paths, {progress: 1.0, seed: [3, 4]})
    np.testing.assert_array_equal(again[1], late[0])
    assert paths_of_layer(last, config, EVALUATION, None)(x, 0, 0) is x


def test_drop_path_spares_identities(session, batch):
    config = ChildConfig(**{**SMALL.__dict__, "drop_path_keep_prob": 0.1, "fixed_arc": (
        0, 4, 1, 4) * 4})
    images = tf.constant(batch[0])
    seeds = tf.constant([1, 2])
    dropped = fixed_micro_child(images, config, TRAINING, seeds).main
    plain = fixed_micro_child(images, config.without_drops(), TRAINING).main
    got, expected = session().run([dropped, plain])
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("side", [8, 21])
def test_the_auxiliary_head_is_there_in_training_alone(side, session):
    config = ChildConfig(**{**SMALL.__dict__, "use_aux_heads": True,
                            "fixed_arc": (0, 4, 1, 3) * 4})
    images, labels = tf.zeros([2, side, side, 3]), tf.zeros([2, CLASSES], tf.uint8)
    assert fixed_micro_child(images, config, EVALUATION).auxiliary is None
    without = {v.op.name for v in tf.trainable_variables()}
    heads = fixed_micro_child(images, config, TRAINING)
    assert heads.auxiliary.shape == [2, CLASSES]
    own = {v.op.name for v in tf.trainable_variables()} - without
    assert all(name.startswith("child/auxiliary_head/") for name in own)
    loss = models.cross_entropy(heads.main, labels)
    main, auxiliary, objective = session().run([
        loss, models.cross_entropy(heads.auxiliary, labels), models.objective(loss, heads, labels)])
    np.testing.assert_allclose(objective, main + 0.4 * auxiliary, rtol=1e-5)
    assert fixed_micro_child(images, config.without_drops(), TRAINING).auxiliary is None
