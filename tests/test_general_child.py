"""The search child against the published implementation, and what runs under an architecture."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from conftest import assert_close, golden_values

from AEROBI import models
from AEROBI.architecture import OPERATIONS, Architecture, flat_length
from AEROBI.config import ChildConfig, TrainConfig
from AEROBI.general_child import branch, search_child, used_variables
from AEROBI.image_ops import LayerMode
from AEROBI.train_ops import child_update

SMALL = ChildConfig(num_layers=7, out_filters=8, num_branches=6, num_classes=6, keep_prob=1.0)
TINY = ChildConfig(num_layers=3, out_filters=4, num_branches=6, num_classes=6, keep_prob=1.0)


class Built:
    """A search child with its placeholders."""

    def __init__(self, config: ChildConfig, is_training: bool):
        self.arc = tf.placeholder(tf.int32, [flat_length(config.num_layers)])
        self.images = tf.placeholder(tf.uint8, [None, 32, 32, 3])
        self.labels = tf.placeholder(tf.uint8, [None, 6])
        mode = LayerMode("NHWC", is_training, seed=0)
        self.logits = search_child(self.images, self.arc, config, mode)
        self.loss = models.cross_entropy(self.logits, self.labels)
        self.correct = models.exact_matches(self.logits, self.labels)
        self.variables = tf.trainable_variables()
        self.conditions = used_variables(
            [v.op.name for v in self.variables], self.arc, config)


@pytest.fixture(scope="module")
def evaluated_once():
    with tf.Graph().as_default():
        return Built(SMALL, is_training=False)


@pytest.fixture
def evaluated(evaluated_once, graph):
    """The child for evaluation, the same for all tests, in whose graph they build."""
    with evaluated_once.images.graph.as_default():
        yield evaluated_once


@pytest.fixture(scope="module")
def trained_once():
    with tf.Graph().as_default():
        built = Built(TINY, is_training=True)
        built.step = child_update(built.loss, built.variables, tf.constant(0.1),
                                  TrainConfig(l2_reg=0.0), built.conditions)
        return built


@pytest.fixture
def trained(trained_once, graph):
    """A tiny child with its update without L2, likewise."""
    with trained_once.images.graph.as_default():
        yield trained_once


@pytest.fixture
def batch():
    rng = np.random.default_rng(5)
    return (rng.integers(0, 256, (4, 32, 32, 3), dtype=np.uint8),
            rng.integers(0, 2, (4, 6), dtype=np.uint8))


def one_op_everywhere(op: int, config: ChildConfig) -> np.ndarray:
    skips = tuple((1,) * layer for layer in range(config.num_layers))
    return np.array(Architecture((op,) * config.num_layers, skips).numbers())


def test_variables_are_those_of_the_reference(golden):
    Built(SMALL, is_training=True)
    trainable = {v.op.name for v in tf.trainable_variables()}
    ours = [[v.op.name, v.shape.as_list(), v.op.name in trainable]
            for v in tf.global_variables()]
    assert sorted(ours) == sorted(golden.variables("search_child"))


def test_a_checkpoint_by_the_reference_names_restores(golden, evaluated, session, tmp_path):
    """A file with exactly those names and shapes, written by another graph."""
    arrays = golden("search_child")
    values = golden_values(arrays)
    with tf.Graph().as_default(), tf.Session() as other:
        copies = [tf.get_variable(name, initializer=value) for name, value in values.items()]
        other.run(tf.global_variables_initializer())
        path = tf.train.Saver(copies).save(other, str(tmp_path / "published"))
    run = session()
    tf.train.Saver(tf.global_variables()).restore(run, path)
    logits = run.run(evaluated.logits, {
        evaluated.images: arrays["images"], evaluated.arc: arrays["arcs"][3]})
    assert_close(logits, arrays["eval_logits"][3])


def test_evaluation_logits(golden, evaluated, session):
    arrays = golden("search_child")
    run = session(golden_values(arrays))
    for arc, expected in zip(arrays["arcs"], arrays["eval_logits"]):
        logits = run.run(
            evaluated.logits, {evaluated.images: arrays["images"], evaluated.arc: arc})
        assert_close(logits, expected)


def test_training_loss_gradient_norm_and_exact_matches(golden, session):
    arrays = golden("search_child")
    built = Built(SMALL, is_training=True)
    step = child_update(built.loss, built.variables, tf.constant(0.0),
                      TrainConfig(l2_reg=5e-4), built.conditions)
    run = session(golden_values(arrays))
    for i, arc in enumerate(arrays["arcs"]):
        loss, norm, correct = run.run(
            [built.loss, step.grad_norm, built.correct],
            {built.images: arrays["images"], built.labels: arrays["labels"], built.arc: arc})
        assert_close(loss, arrays["train_loss"][i])
        assert_close(norm, arrays["grad_norm"][i], 1e-3)  # see golden/README.md
        assert correct == arrays["train_exact"][i]


def test_six_operations_give_six_results(golden, evaluated, session):
    arrays = golden("search_child")
    run = session(golden_values(arrays))
    results = [run.run(evaluated.logits, {evaluated.images: arrays["images"],
                                          evaluated.arc: one_op_everywhere(op, SMALL)})
               for op in range(len(OPERATIONS))]
    for op, logits in enumerate(results):
        for other in results[:op]:
            assert np.abs(logits - other).max() > 1e-3


def test_with_late_binding_all_operations_are_the_last(golden, evaluated_once, session):
    arrays = golden("search_child")
    faulty = ChildConfig(7, 8, 6, 6, keep_prob=1.0, late_binding=True)
    with evaluated_once.images.graph.as_default():
        last = session(golden_values(arrays)).run(evaluated_once.logits, {
            evaluated_once.images: arrays["images"],
            evaluated_once.arc: one_op_everywhere(5, SMALL)})
    built = Built(faulty, is_training=False)
    assert len(tf.global_variables()) == len(golden.variables("search_child"))
    run = session(golden_values(arrays))
    for op in range(len(OPERATIONS)):
        logits = run.run(built.logits, {built.images: arrays["images"],
                                        built.arc: one_op_everywhere(op, SMALL)})
        np.testing.assert_allclose(logits, last, rtol=1e-6)


@pytest.mark.parametrize("op", range(6))
def test_only_the_chosen_operation_is_touched(op, trained, session, batch):
    """Without L2, weights and moving averages of the other five stay exactly as they are."""
    run = session()
    variables = {v.op.name: v for v in tf.global_variables() if "Momentum" not in v.op.name}
    before = run.run(variables)
    run.run(trained.step.train_op, {trained.images: batch[0], trained.labels: batch[1],
                                    trained.arc: one_op_everywhere(op, TINY)})
    after = run.run(variables)
    for name in variables:
        changed = not np.array_equal(before[name], after[name])
        if "/branch_" in name:
            assert changed == (f"/branch_{op}/" in name), name
        elif "/bn/moving" in name:
            assert changed, name


def test_only_the_chosen_operation_is_computed(trained, session, batch):
    """By TensorFlow's own trace: one path of convolutions and pools, forward and backward."""
    run = session()
    trace = tf.RunMetadata()
    run.run(trained.step.train_op, {trained.images: batch[0], trained.labels: batch[1],
                                    trained.arc: one_op_everywhere(2, TINY)},
            tf.RunOptions(trace_level=tf.RunOptions.FULL_TRACE), trace)
    names = [node.node_name for device in trace.step_stats.dev_stats
             for node in device.node_stats]
    kernels = [name for name in names
               if "/branch_" in name and "ReadVariableOp" not in name and any(
                   part in name for part in ("Conv2D", "Pool", "FusedBatchNorm"))]
    assert kernels
    assert all("/branch_2/" in name for name in kernels)
    assert sum("Conv2DBackpropFilter" in name for name in kernels) == 2 * TINY.num_layers


def test_l2_acts_on_operations_that_were_not_chosen(session, batch):
    built = Built(TINY, is_training=True)
    config = TrainConfig(l2_reg=0.5, grad_bound=1e9)
    step = child_update(built.loss, built.variables, tf.constant(0.1), config, built.conditions)
    run = session()
    other = next(v for v in built.variables if v.op.name == "child/layer_1/branch_0/inp_conv_1/w")
    before = run.run(other)
    run.run(step.train_op, {built.images: batch[0], built.labels: batch[1],
                            built.arc: one_op_everywhere(2, TINY)})
    # One Nesterov step from rest: w - lr (g + 0.9 g) with g = 2 l2 w.
    np.testing.assert_allclose(run.run(other), before * (1 - 0.1 * 1.9 * 2 * 0.5), rtol=1e-5)


def test_gradients_agree_with_the_mask_of_all_operations(session, batch):
    """The routed graph against a slow twin: all six computed, the chosen one picked by a mask."""
    built = Built(TINY, is_training=True)
    rng = np.random.default_rng(1)
    twin = search_child(built.images, built.arc, TINY, LayerMode("NHWC", True, 0),
                        operation=_all_operations)
    twin_loss = models.cross_entropy(twin, built.labels)
    config = TrainConfig(l2_reg=1e-3)
    routed = child_update(built.loss, built.variables, tf.constant(0.0), config, built.conditions)
    masked = tf.linalg.global_norm([
        gradient + 2e-3 * v
        for v, gradient in zip(built.variables, tf.gradients(twin_loss, built.variables))])
    run = session()
    for _ in range(4):
        arc = np.array(Architecture.random(3, rng).numbers())
        ours, twin = run.run([routed.grad_norm, masked], {
            built.images: batch[0], built.labels: batch[1], built.arc: arc})
        assert_close(ours, twin, 1e-4)


def _all_operations(x, op, config, mode):
    outputs = tf.stack([branch(k, config.out_filters, mode, x)
                        for k in range(config.num_branches)])
    return tf.tensordot(tf.one_hot(op, config.num_branches), outputs, 1)


def test_dropout_follows_its_seed(session, batch):
    config = ChildConfig(3, 4, 6, 6, keep_prob=0.5)
    arc = tf.constant(one_op_everywhere(0, config), tf.int32)
    seed = tf.placeholder(tf.int32, [2])
    logits = search_child(tf.constant(batch[0]), arc, config, LayerMode("NHWC", True, 0), seed)
    run = session()
    first, again, other = (run.run(logits, {seed: s}) for s in ([1, 2], [1, 2], [1, 3]))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_nchw_computes_the_same(golden, session):
    arrays = golden("search_child")
    config = ChildConfig(7, 8, 6, 6, keep_prob=1.0, data_format="NCHW")
    images, arc = tf.constant(arrays["images"]), tf.placeholder(tf.int32, [28])
    logits = search_child(images, arc, config, LayerMode("NCHW", False, 0))
    run = session(golden_values(arrays))
    try:
        values = [run.run(logits, {arc: numbers}) for numbers in arrays["arcs"]]
    except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError) as error:
        pytest.skip(f"no NCHW kernels on this machine: {error.message[:80]}")
    assert_close(np.array(values), arrays["eval_logits"])
