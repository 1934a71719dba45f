"""Mixed precision: narrow feature maps, float32 weights; close to float32, same checkpoints."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny_run
from conftest import assert_close

from AEROBI import image_ops, models
from AEROBI.architecture import Architecture
from AEROBI.config import ChildConfig, ConfigError, TrainConfig
from AEROBI.general_child import used_variables
from AEROBI.image_ops import LayerMode
from AEROBI.selection.finished_search import open_search
from AEROBI.tf_setup import session_config
from AEROBI.train_ops import child_update
from AEROBI.training.graphs import logits_in_mode

LAYERS = 4
SEARCH = ChildConfig(num_layers=LAYERS, out_filters=8, num_branches=6, num_classes=6, keep_prob=1.0)
SKIPS = tuple((1,) * layer for layer in range(LAYERS))
SAME_EVERYWHERE = [Architecture((op,) * LAYERS, SKIPS) for op in range(6)]
MIXED = Architecture((0, 1, 3, 5), ((), (1,), (0, 1), (1, 0, 1)))
KINDS = {
    "search": {}, "fixed": {"fixed_arc": tuple(MIXED.numbers()), "network": "search"},
    "final": {"fixed_arc": tuple(MIXED.numbers())}}
NARROW = ("bfloat16", "float16")
# Of the largest logit: bfloat16 has 8 bits, float16 has 11, and errors of a dozen layers add up.
TOLERANCE = {"bfloat16": 0.05, "float16": 0.01}
STEPS = 6


class Child:
    """A tiny child with a batch of its own, in a graph and session of its own."""

    def __init__(self, kind: str, precision: str, data_format: str = "NHWC"):
        config = dataclasses.replace(
            SEARCH, precision=precision, data_format=data_format, **KINDS[kind])
        rng = np.random.default_rng(5)
        images = rng.integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
        labels = rng.integers(0, 2, (8, 6), dtype=np.uint8)
        self.graph = tf.Graph()
        with self.graph.as_default():
            self._arc = tf.placeholder(tf.int32, [len(MIXED.numbers())])
            mode = LayerMode(data_format, True, 0, precision=precision)
            logits = logits_in_mode(tf.constant(images), self._arc, config, mode, None)
            still = mode._replace(is_training=False)
            self._evaluated = logits_in_mode(tf.constant(images), self._arc, config, still, None)
            loss = models.cross_entropy(logits, tf.constant(labels))
            variables = tf.trainable_variables()
            used = used_variables([v.op.name for v in variables], self._arc, config)
            step = child_update(loss, variables, tf.constant(0.05), TrainConfig(l2_reg=5e-4),
                              used if kind == "search" else None)
            self._training, self._step = logits, [loss, step.grad_norm, step.train_op]
            self.variables = tf.global_variables()
            self._saver = tf.train.Saver()
            self._initialize = tf.global_variables_initializer()
            self.session = tf.Session(config=session_config())
        self.reset()

    def reset(self):
        self.session.run(self._initialize)

    def logits(self, arc: Architecture, training: bool) -> np.ndarray:
        fetch = self._training if training else self._evaluated
        return self.session.run(fetch, {self._arc: arc.numbers()})

    def train(self, arc: Architecture) -> np.ndarray:
        """float32 [STEPS, 2], losses and gradient norms."""
        return np.array([self.session.run(self._step, {self._arc: arc.numbers()})[:2]
                         for _ in range(STEPS)])

    def save(self, path) -> str:
        return self._saver.save(self.session, str(path), write_meta_graph=False)

    def restore(self, path: str):
        self._saver.restore(self.session, path)


@pytest.fixture(scope="module")
def child():
    """`child(kind, precision, data_format)`, each built once."""
    built = {}

    def of(*words: str) -> Child:
        if words not in built:
            built[words] = Child(*words)
        built[words].reset()
        return built[words]

    yield of
    for network in built.values():
        network.session.close()


@pytest.mark.parametrize("precision", NARROW)
@pytest.mark.parametrize("arc", [*SAME_EVERYWHERE, MIXED], ids=str)
def test_every_operation_of_the_search_child(precision, arc, child):
    """Logits in both modes, losses and gradient norms of some steps."""
    exact, narrow = child("search", "float32"), child("search", precision)
    for training in (False, True):
        expected = exact.logits(arc, training)
        found = narrow.logits(arc, training)
        assert found.dtype == np.float32
        assert_close(found, expected, TOLERANCE[precision])
        assert np.abs(found - expected).max() > 1e-5 * np.abs(expected).max()  # it is narrow
    for network in (exact, narrow):
        network.reset()
    assert_trains_alike(exact.train(arc), narrow.train(arc))


def assert_trains_alike(expected: np.ndarray, found: np.ndarray):
    np.testing.assert_allclose(found[:, 0], expected[:, 0], rtol=0.02)
    np.testing.assert_allclose(found[:, 1], expected[:, 1], rtol=0.1)
    assert found[-1, 0] < found[0, 0]


@pytest.mark.parametrize("precision", NARROW)
@pytest.mark.parametrize("kind", ["fixed", "final"])
def test_the_other_children(kind, precision, child):
    exact, narrow = child(kind, "float32"), child(kind, precision)
    for training in (False, True):
        assert_close(narrow.logits(MIXED, training), exact.logits(MIXED, training),
                     TOLERANCE[precision])
    for network in (exact, narrow):
        network.reset()
    assert_trains_alike(exact.train(MIXED), narrow.train(MIXED))


@pytest.mark.parametrize("precision", NARROW)
@pytest.mark.parametrize("kind", ["search", "final"])
def test_variables_are_the_same_and_checkpoints_go_both_ways(kind, precision, child, tmp_path):
    exact, narrow = child(kind, "float32"), child(kind, precision)
    assert {(v.op.name, tuple(v.shape), v.dtype) for v in narrow.variables} == {
        (v.op.name, tuple(v.shape), v.dtype) for v in exact.variables}
    assert all(v.dtype.base_dtype == tf.float32 for v in narrow.variables)
    narrow.train(MIXED)
    exact.restore(narrow.save(tmp_path / "narrow"))
    assert_close(exact.logits(MIXED, False), narrow.logits(MIXED, False), TOLERANCE[precision])
    exact.train(MIXED)
    narrow.restore(exact.save(tmp_path / "exact"))
    assert_close(narrow.logits(MIXED, False), exact.logits(MIXED, False), TOLERANCE[precision])


@pytest.mark.parametrize("precision", NARROW)
def test_feature_maps_are_narrow_and_nothing_is_wider_on_the_way(precision, child):
    """By the types in the graph: only the kernels' own gradients go back to float32."""
    graph = child("search", precision).graph
    for op in graph.get_operations():
        if op.type in ("Conv2D", "DepthwiseConv2dNative", "AvgPool", "MaxPool", "Relu",
                       "FusedBatchNormV3", "AvgPoolGrad", "MaxPoolGrad", "FusedBatchNormGradV3",
                       "Conv2DBackpropInput", "Conv2DBackpropFilter"):
            assert op.outputs[0].dtype.name == precision, op.name
        if op.type == "FusedBatchNormV3":
            assert all(tensor.dtype == tf.float32 for tensor in op.inputs[1:])


def test_the_default_graph_knows_nothing_of_it(child):
    """No cast but those of labels, counts and images, and no gradient of its own."""
    graph = child("search", "float32").graph
    types = {op.get_attr("SrcT").name for op in graph.get_operations() if op.type == "Cast"}
    assert types <= {"uint8", "bool", "int32"}
    assert not [op for op in graph.get_operations() if op.type == "IdentityN"]


def test_gradients_too_small_for_float16_survive(session):
    """Feature maps' gradients of 1e-8, which float16 has not; the weights' are as in float32."""
    found = {}
    for precision in ("float32", "float16"):
        mode = LayerMode("NHWC", True, 0, precision=precision)
        with tf.variable_scope(precision):
            x = image_ops.from_images(tf.fill([1, 4, 4, 3], 200.0), mode)
            x = image_ops.conv(x, 4, 1, mode)
            loss = tf.reduce_sum(image_ops.global_average_pool(x, mode)) * 16e-8
            found[precision] = tf.gradients(loss, tf.trainable_variables(precision))[0]
    expected, got = session().run([found["float32"], found["float16"]])
    np.testing.assert_allclose(got, expected, rtol=0.01)


def test_float16_overflow_reaches_the_update_as_infinity(session):
    mode = LayerMode("NHWC", True, 0, precision="float16")
    x = image_ops.conv(image_ops.from_images(tf.fill([1, 4, 4, 3], 200.0), mode), 4, 1, mode)
    loss = 1e4 * tf.reduce_sum(image_ops.global_average_pool(x, mode))
    step = child_update(loss, tf.trainable_variables(), tf.constant(0.1), TrainConfig())
    run = session()
    before = run.run(tf.trainable_variables())
    assert not run.run([step.finite, step.train_op])[0]
    np.testing.assert_array_equal(run.run(tf.trainable_variables()), before)


def test_nchw_in_bfloat16(child):
    """The CPU has these kernels where oneDNN is on."""
    try:
        image_ops.check_kernels("NCHW", "bfloat16")
    except ConfigError as error:
        pytest.skip(str(error))
    exact, narrow = child("search", "float32"), child("search", "bfloat16", "NCHW")
    for training in (False, True):
        assert_close(narrow.logits(MIXED, training), exact.logits(MIXED, training),
                     TOLERANCE["bfloat16"])


@pytest.mark.parametrize("precision", NARROW)
def test_nhwc_kernels_are_everywhere(precision):
    image_ops.check_kernels("NHWC", precision)


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="a GPU has the kernels")
def test_kernels_that_are_missing_are_told_before_any_work(tiny_data, tmp_path):
    output = tiny_run.run({**tiny_run.SEARCH, "data_path": tiny_data, "precision": "float16",
                           "output_dir": tmp_path / "run", "data_format": "NCHW"}, expect=2)
    assert "--precision=float16" in output and "--data_format=NCHW" in output
    assert "Traceback" not in output and not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def searched(tiny_data, tmp_path_factory):
    """The flags and output of a finished search in bfloat16."""
    folder = tmp_path_factory.mktemp("bfloat16")
    flags = {**tiny_run.SEARCH, "data_path": tiny_data, "output_dir": folder / "run",
             "cache_dir": folder / "cache", "num_epochs": 2, "precision": "bfloat16"}
    tiny_run.run(flags)
    return flags


def first_loss(run_dir) -> float:
    return json.loads((run_dir / "metrics.jsonl").read_text().splitlines()[0])["loss"]


def test_a_search_in_bfloat16(searched, tiny_search):
    run_dir = searched["output_dir"]
    assert all(value.dtype.kind != "V" and value.dtype.name not in NARROW
               for value in tiny_run.weights(run_dir).values())
    assert first_loss(run_dir) == pytest.approx(first_loss(tiny_search), rel=0.02)
    with open_search(run_dir, "moving") as shared:
        assert shared.run.config.child.precision == "bfloat16"
        assert 0 <= shared.score(shared.draw(1, "test")[0]).exact_match <= 1


def test_another_precision_does_not_resume(searched):
    output = tiny_run.run({**searched, "precision": "float32"}, expect=2)
    assert "--precision: bfloat16 in the directory, float32 now" in output
    assert "Traceback" not in output


def test_a_final_training_in_float16_is_exported_in_float32(tiny_data, tmp_path):
    run_dir = tmp_path / "run"
    tiny_run.run({**tiny_run.SHALLOW_FINAL, "data_path": tiny_data, "output_dir": run_dir,
                  "cache_dir": tmp_path / "cache", "num_epochs": 1, "precision": "float16"})
    tiny_run.aerobi("export", run_dir, "--output", tmp_path / "model")
    differences = json.loads((tmp_path / "model/model.json").read_text())["differences"]
    assert differences["model.tflite"]["largest"] < 1e-3
