"""Losses and gradients that are nan or infinite: said, and never in a checkpoint."""

import json
import re

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny_run

from AEROBI.data.packed_images import open_packed
from AEROBI.data.streams import make_streams
from AEROBI.data_utils import read_data_set
from AEROBI.drawing.dag import small_png
from AEROBI.flags import table
from AEROBI.flags.resolve import resolve
from AEROBI.run.run_dir import RunDirectory
from AEROBI.training import not_finite
from AEROBI.training.graphs import build_child, build_controller
from AEROBI.training.search import Search
from AEROBI.training.steps import LocalSteps
from AEROBI.training.stopping import StopRequest
from AEROBI.training.trainer import Trainer

NAN, INF = float("nan"), float("inf")


class Run:
    """A tiny search before its first step, again after each `again`."""

    def __init__(self, config, data_set, cache):
        self.run_dir = RunDirectory.open(config.output_dir, {}, False)
        self.path, self.graph = self.run_dir.path, tf.Graph()
        with self.graph.as_default():
            streams = make_streams(
                open_packed(data_set, config.data.img_size, str(cache)), config)
            child = build_child(config, streams.train.output_types, streams.train.output_shapes)
            controller = build_controller(config.controller, config.seed)
            variables = {v.op.name: v for v in tf.global_variables()}
            self._feeds = {name: tf.placeholder(v.dtype, v.shape) for name, v in variables.items()}
            self._assigns = {name: v.assign(self._feeds[name]) for name, v in variables.items()}
            steps = LocalSteps(config, child, streams, StopRequest())
            self.trainer = Trainer(config, self.run_dir, steps, streams, data_set)
            self.search = Search(self.trainer, controller, small_png)
        self.trainer.start_or_resume()
        self._read = self.trainer.session.make_callable(list(variables.values()))
        self._names, self._first = list(variables), None
        self._first = self.values()

    def again(self):
        self.trainer.session.run(list(self._assigns.values()), {
            feed: self._first[name] for name, feed in self._feeds.items()})
        self.trainer.counters.child_step = self.trainer.counters.controller_step = 0
        self.trainer.guard._skipped.clear()
        self.trainer.start_rewards(0)
        return self

    def values(self):
        return dict(zip(self._names, self._read()))

    def set(self, name, value):
        value = np.full_like(self._first[name], value)
        self.trainer.session.run(self._assigns[name], {self._feeds[name]: value})


@pytest.fixture(scope="module")
def runs(tiny_data, tmp_path_factory):
    """One for each policy: a graph takes its time to build."""
    folder, opened = tmp_path_factory.mktemp("finite"), {}
    for policy in ("stop", "skip"):
        words = tiny_run.words({**tiny_run.SHALLOW_SEARCH, "data_path": tiny_data, "on_nan": policy,
                                "output_dir": folder / policy})
        data_set = read_data_set(str(tiny_data))
        config = resolve(table.parse(words), data_set.class_names, "NHWC")
        opened[policy] = Run(config, data_set, folder / "cache")
    yield opened
    for run in opened.values():
        run.run_dir.close()
        run.trainer.session.close()


@pytest.fixture
def start(runs):
    """`start(policy)`: a run before its first step."""
    return lambda policy: runs[policy].again()


def epoch(run):
    """One epoch of child steps, as the loop makes them."""
    trainer = run.trainer
    trainer._child_epoch(0, run.search.draw(trainer.steps_per_epoch, "child arcs", 0))


def assert_unchanged(before, after, names):
    for name in names:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)


@pytest.mark.parametrize("name, value, first", [
    ("child/fc/w", 1e38, "the loss"),  # the mean overflows
    ("child/fc/w", 1e25, "the gradient of child/fc/w"),  # that of the L2 term, squared
    ("child/layer_0/branch_2/inp_conv_1/w", INF, "child/layer_0/branch_2/inp_conv_1/w")])
def test_stop_names_step_architecture_and_tensor(start, name, value, first):
    run = start("stop")
    run.trainer.save()
    run.set(name, value)
    arc = "2 2 0"
    steps = run.trainer.steps_per_epoch
    before = run.values()
    with pytest.raises(not_finite.NonFiniteError) as error:
        run.trainer._child_epoch(0, np.tile(np.int32(arc.split()), [steps, 1]))
    text = str(error.value)
    for part in ("child step 1:", f"under architecture {arc}; first not finite: {first}",
                 "/checkpoint-", "--on_nan=skip"):
        assert part in text
    weights = [variable for variable in before if "/moving_" not in variable]
    assert_unchanged(before, run.values(), weights)


def test_no_checkpoint_of_weights_that_are_not_finite(start):
    run = start("stop")
    run.trainer.save()
    folder = run.path / "checkpoints"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run.set("child/layer_1/skip/bn/moving_variance", NAN)
    with pytest.raises(not_finite.NonFiniteError, match=r"layer_1/skip/bn/moving_variance.*kept"):
        run.trainer.save()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_skip_leaves_the_update_out_and_goes_on(start, caplog):
    run = start("skip")
    run.set("child/fc/w", 1e38)
    before = run.values()
    epoch(run)
    steps = run.trainer.steps_per_epoch
    after = run.values()
    assert run.trainer.counters.child_step == steps
    assert caplog.text.count("update left out") == steps
    weights = [variable for variable in before if "/moving_" not in variable]
    assert_unchanged(before, after, weights)
    run.trainer.save()  # everything is finite
    run.set("child/fc/w", 0)
    run.trainer.counters.child_step = 0
    epoch(run)  # and goes on to learn
    assert caplog.text.count("update left out") == steps
    assert not (run.values()["child/fc/w"] == 0).all()
    lines = (run.path / "metrics.jsonl").read_text().splitlines()[-2 * steps:]
    assert [json.loads(line)["grad_norm"] is None for line in lines] == (
        [True] * steps + [False] * steps)


def test_moving_statistics_take_no_nan(start):
    run = start("skip")
    run.set("child/layer_0/branch_2/inp_conv_1/w", INF)
    arcs = np.tile(np.int32([2, 2, 0]), [run.trainer.steps_per_epoch, 1])
    run.trainer._child_epoch(0, arcs)
    wrong = not_finite.not_finite(run.values())
    assert wrong == ["child/layer_0/branch_2/inp_conv_1/w"]


def test_skipping_has_an_end(monkeypatch, start):
    monkeypatch.setattr(not_finite, "MOST_SKIPPED", 2)
    run = start("skip")
    run.set("child/fc/w", 1e38)
    with pytest.raises(not_finite.NonFiniteError, match=r"child step 3: .*not finite: the loss"):
        epoch(run)


@pytest.mark.parametrize("policy", ["stop", "skip"])
def test_the_controller_likewise(start, policy, caplog):
    run = start(policy)
    run.set("controller/baseline", INF)
    before = run.values()
    if policy == "stop":
        with pytest.raises(not_finite.NonFiniteError, match=(
                r"controller step 1: reward .* under architecture \d( \d){2}; first not finite: "
                "controller/baseline")):
            run.search._update(0, run.search._rewards_of_phase(1))
    else:
        run.search._update(0, run.search._rewards_of_phase(1))
        assert "controller step 1" in caplog.text and "update left out" in caplog.text
    controller = [variable for variable in before if "controller/" in variable]
    assert_unchanged(before, run.values(), controller)
    run.set("controller/baseline", 0)
    run.search._update(0, run.search._rewards_of_phase(1))
    after = run.values()
    assert (before["controller/g_emb"] != after["controller/g_emb"]).any()
    assert after["controller/baseline"] != 0


def test_names_in_order():
    values = {"a": np.zeros(3), "b": np.array([1, NAN]), "c": -INF, "d": 2}
    assert not_finite.not_finite(values) == ["b", "c"]


def test_a_run_that_diverges_ends_with_status_2_and_goes_on_with_skip(tiny_data, tmp_path):
    """As a process: 1e30 is a learning rate that no gradient norm survives."""
    run = {**tiny_run.SHALLOW_FINAL, "data_path": tiny_data, "output_dir": tmp_path / "run",
           "cache_dir": tmp_path / "cache", "checkpoint_secs": 0, "child_lr_max": 1e30,
           "num_epochs": 1}
    output = tiny_run.run(run, expect=2)
    assert "Traceback" not in output
    error, = [line for line in output.splitlines() if line.startswith("Error: ")]
    assert re.search(r"child step \d+: loss .* under architecture 3 5 1; first not finite: "
                     r"the logits, the loss", error), error
    kept = tiny_run.weights(tmp_path / "run")
    assert all(np.isfinite(value).all() for value in kept.values())
    output = tiny_run.run({**run, "on_nan": "skip"})
    assert "Resuming after" in output and "update left out" in output
    assert "Traceback" not in output
