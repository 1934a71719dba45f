"""k workers with batches of b against one worker with batches of k * b, in one process."""


import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny_run
from local_cluster import Threads

from AEROBI import image_ops
from AEROBI.cluster.graph import alive
from AEROBI.data.packed_images import open_packed
from AEROBI.data.streams import make_streams
from AEROBI.data_utils import read_data_set
from AEROBI.flags import table
from AEROBI.flags.resolve import resolve
from AEROBI.seeds import seed_pair
from AEROBI.train_ops import learning_rate
from AEROBI.training.graphs import build_child

# Closing a session cancels the averaging thread; one process has one such thread, threads here two.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

ARCS = np.array([[3, 5, 1], [0, 4, 0], [1, 1, 1], [3, 0, 0], [2, 3, 1]], np.int32)


@pytest.fixture(scope="module")
def made(tiny_data, tmp_path_factory):
    """`made(kind, batch size)`: a configuration and the packed splits."""
    cache = tmp_path_factory.mktemp("cache")

    def of(base: dict, batch_size: int):
        words = tiny_run.words({**base, "batch_size": batch_size, "data_path": tiny_data,
                                "cache_dir": cache, "output_dir": "o", "child_lr_max": 0.1,
                                "child_grad_bound": 0.05, "child_l2_reg": 0.01})
        data_set = read_data_set(str(tiny_data))
        config = resolve(table.parse(words), data_set.class_names, "NHWC")
        return config, open_packed(data_set, 16, str(cache))
    return of


@pytest.fixture
def held_bn(monkeypatch):
    """BN with its moving statistics, which stay: then a batch is the sum of its parts."""
    moving = image_ops.batch_norm
    monkeypatch.setattr(image_ops, "batch_norm", lambda x, style, *rest, **names: moving(
        x, style._replace(is_training=False), *rest, **names))


def alone(config, splits, arcs) -> tuple[dict, dict, list]:
    """Variables before and after a step for each architecture; loss, matches, images of each."""
    with tf.Graph().as_default():
        streams = make_streams(splits, config)
        graph = build_child(config, streams.train.output_types, streams.train.output_shapes)
        with tf.Session() as session:
            values = {v.op.name: v for v in tf.global_variables()}
            session.run(tf.global_variables_initializer())
            first = session.run(values)
            session.run(streams.train.initializer, {streams.train.start: 0})
            handle, results = session.run(streams.train.handle), []
            for step, arc in enumerate(arcs):
                lr = learning_rate(step, streams.train.batches_per_epoch, config.train)
                results.append(session.run(graph.training, {
                    graph.stream: handle, graph.arc: arc, graph.lr: lr,
                    graph.seed: seed_pair(config.seed, "dropout", step)})[:4])
            return first, session.run(values), results


def changes(before: dict, after: dict) -> dict:
    return {name: after[name] - before[name] for name in after}


@pytest.mark.parametrize("kind, workers, ps", [
    ("search", 2, 1), ("final", 3, 2)])
def test_workers_together_are_one_with_a_larger_batch(kind, workers, ps, made, held_bn):
    """With dropout, Cutout, clipping and L2; over the end of an epoch and a change of rate."""
    base = tiny_run.SHALLOW_SEARCH if kind == "search" else tiny_run.SHALLOW_FINAL
    arcs = ARCS if kind == "search" else np.tile(ARCS[:1], [5, 1])
    config, splits = made(base, 12)
    first, expected, results = alone(config, splits, arcs)
    config, _ = made(base, 12 // workers)
    cluster = Threads(config, splits, arcs, ps=ps).run(workers)
    moved, ours = changes(first, expected), changes(first, cluster.weights)
    assert moved.keys() == ours.keys()
    for name, change in moved.items():
        scale = max(np.abs(change).max(), 1e-6)
        np.testing.assert_allclose(ours[name], change, atol=2e-3 * scale, err_msg=name)
    assert max(np.abs(change).max() for change in moved.values()) > 0.01
    for (loss, matches, images), result in zip(cluster.results[0], results):
        np.testing.assert_allclose(loss, result[0], rtol=1e-4)
        assert (matches, images) == (result[1], result[2])
    assert (cluster.steps == len(arcs)).all()


def test_with_bn_the_loss_curve_is_alike(made):
    config, splits = made(tiny_run.SHALLOW_FINAL, 16)
    arcs = np.tile(ARCS[:1], [12, 1])
    _, _, results = alone(config, splits, arcs)
    config, _ = made(tiny_run.SHALLOW_FINAL, 8)
    cluster = Threads(config, splits, arcs).run(2)
    ours, theirs = (np.array([result[0] for result in steps])
                    for steps in (cluster.results[0], results))
    assert np.abs(ours - theirs).mean() < 0.3 * theirs.mean()
    statistics = [name for name in cluster.weights if name.endswith("moving_variance")]
    assert all(np.isfinite(cluster.weights[name]).all() for name in statistics)


def test_asynchronous_workers_each_make_their_steps(made):
    config, splits = made(tiny_run.SHALLOW_SEARCH, 8)
    cluster = Threads(config, splits, ARCS, sync=False).run(2)
    assert (cluster.steps == len(ARCS)).all()
    images = [sum(int(result[2]) for result in results[:3])
              for results in cluster.results.values()]
    assert sum(images) == tiny_run.SIZES.train  # an epoch is three steps
    assert all(np.isfinite(value).all() for value in cluster.weights.values())


@pytest.mark.parametrize("used, expected", [(True, [2.0, 2.0]), (False, [0.0, 0.0])])
def test_a_dead_gradient_becomes_zeros(used, expected, session):
    v = tf.get_variable("v", initializer=np.float32([1, 1]), use_resource=True)
    condition = tf.placeholder(tf.bool, [])
    _, on = tf.raw_ops.Switch(data=tf.constant(2.0), pred=condition)
    run = session()
    gradient = alive(v, on * tf.ones([2]), condition)
    assert run.run(gradient, {condition: used}).tolist() == expected
