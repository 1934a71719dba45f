"""The chief and a worker, as threads of one process: scores are shared, and are what one finds."""

import json
import threading

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny_run
from local_cluster import members

from AEROBI.cluster.chief import SharedSteps
from AEROBI.cluster.graph import build_graph, device_of
from AEROBI.cluster.sessions import opened, reset_servers, start_server, wait_for_chief
from AEROBI.cluster.worker import Worker
from AEROBI.data.packed_images import open_packed
from AEROBI.data_utils import read_data_set
from AEROBI.flags import table
from AEROBI.flags.resolve import resolve
from AEROBI.run.run_dir import RunDirectory
from AEROBI.scoring import metrics
from AEROBI.training.stopping import StopRequest
from AEROBI.training.trainer import Trainer

# Closing a session cancels the averaging thread; one process has one such thread, threads here two.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")

SAMPLES = 6
ARCS = np.random.default_rng(0).integers([6, 6, 2], size=[SAMPLES, 3], dtype=np.int32)


@pytest.fixture
def setting(tiny_data, tmp_path):
    words = tiny_run.words({**tiny_run.SHALLOW_SEARCH, "data_path": tiny_data,
                            "cache_dir": tmp_path / "cache", "output_dir": tmp_path / "run",
                            "checkpoint_secs": 1000, "controller_num_aggregate": SAMPLES})
    values = table.parse(words)
    data_set = read_data_set(values["data_path"])
    config = resolve(values, data_set.class_names, "NHWC")
    return config, data_set, open_packed(data_set, 16, config.data.cache_dir)


def follow(config, cluster, server, splits, followed: list) -> None:
    with tf.Graph().as_default(), tf.device(device_of(cluster)):
        graph = build_graph(config, cluster, splits)
        worker = Worker(config, cluster, graph, splits["val"], StopRequest())
        generation = wait_for_chief(server, cluster, StopRequest())
        with opened(server, cluster, tf.train.Scaffold(), graph.child.optimizer) as session:
            worker.run(session, generation)
        followed.append(worker.steps)


def test_chief_and_worker(setting):
    """Samples without the worker and with it, around a child epoch; then the end."""
    config, data_set, splits = setting
    _, chief, other = everybody = members(2)
    servers = [start_server(cluster) for cluster in everybody]
    followed: list[int] = []
    thread = threading.Thread(target=follow, args=(config, other, servers[2], splits, followed),
                              daemon=True)
    thread.start()
    reset_servers(servers[1], chief)
    with RunDirectory.open(config.output_dir, {}, False) as run_dir, tf.Graph().as_default():
        with tf.device(device_of(chief)):
            graph = build_graph(config, chief, splits)
            scored_until = graph.shared.scored_until.read_value()
            steps = SharedSteps(config, chief, servers[1], graph, splits["val"], StopRequest())
            # As a worker leaves it that is killed before it takes its own.
            left_token = graph.child.optimizer._sync_token_queue.enqueue(tf.constant(0, tf.int64))
        with steps:
            trainer = Trainer(config, run_dir, steps, graph.streams, data_set)
            trainer.start_rewards(4)
            alone = trainer.score(ARCS, "exact_match")  # the worker may not begin yet
            trainer.start_or_resume()
            trainer.session.run(left_token)
            trainer._child_epoch(0, ARCS[:trainer.steps_per_epoch])
            assert steps_with_images(run_dir.path) == {1: 13, 2: 13, 3: 14}  # each once, of both
            assert trainer.counters.child_step == trainer.steps_per_epoch == 3
            # Labels that the first architecture has all right, and others some of.
            batches = trainer.streams.val.batches_per_epoch
            splits["val"].labels[:] = trainer.evaluate("val", [ARCS[0]] * batches).logits >= 0
            trainer.start_rewards(0)
            for _ in range(2):
                together = trainer.score(ARCS, "exact_match")
            expected = by_stream(trainer, SAMPLES)
            # The worker's, of the third set.
            assert (trainer.session.run(scored_until)[1::2] == 2 * SAMPLES).all()
            trainer.counters.epochs_done = 1
            trainer.consistent_point()
            trainer.save()
            steps.finish()
            thread.join(60)
    assert followed == [3]
    np.testing.assert_allclose(together, expected, rtol=1e-6)
    assert expected[0] == 1 and min(expected) < 1
    assert alone.shape == (SAMPLES,) and np.isfinite(alone).all()
    saved = tiny_run.weights(run_dir.path)
    assert not any(name.startswith("cluster/") for name in saved)
    assert any(name.endswith("/Momentum") for name in saved)


def steps_with_images(run_dir) -> dict[int, int]:
    """The images of each child step that was logged; no step twice."""
    records = [record for record in map(json.loads, (run_dir / "metrics.jsonl").open())
               if record["kind"] == "child"]
    steps = {record["step"]: record["images"] for record in records}
    assert len(steps) == len(records)
    return steps


def by_stream(trainer, position: int) -> list[float]:
    """The exact matches as one process finds them, from its stream of reward batches."""
    rewards = trainer.streams.reward
    trainer.session.run(rewards.initializer, {rewards.start: position})
    return [metrics.exact_matches(*trainer.evaluate_batch("reward", arc)).mean() for arc in ARCS]
