"""What the controller is rewarded with and when: flags that the published search leaves alone."""

import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny_run
from sklearn.metrics import average_precision_score, log_loss

from AEROBI import general_controller
from AEROBI.config import (
    REWARDS,
    ChildConfig,
    ConfigError,
    ControllerConfig,
    DataConfig,
    RunConfig,
    TrainConfig,
)
from AEROBI.flags import resolve, table
from AEROBI.scoring.metrics import worth
from AEROBI.training.graphs import child_logits, logits_of_own_statistics

CHILD = ChildConfig(num_layers=3, out_filters=4, num_branches=6, num_classes=6)


def run_config(**controller) -> RunConfig:
    return RunConfig("", DataConfig(""), CHILD, TrainConfig(),
                     ControllerConfig(num_layers=3, num_branches=6, **controller))


def test_measures_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(60, 6)), (rng.random((60, 6)) < 0.3).astype(np.uint8)
    labels[:, 4] = 0
    present = [0, 1, 2, 3, 5]
    assert worth("mean_ap", logits, labels) == pytest.approx(np.mean(
        [average_precision_score(labels[:, k], logits[:, k]) for k in present]))
    assert worth("negative_loss", logits, labels) == pytest.approx(-log_loss(
        labels.ravel(), 1 / (1 + np.exp(-logits.ravel()))))
    assert worth("exact_match", logits, labels) == np.mean(
        ((logits >= 0) == (labels > 0)).all(1))


def test_measures_without_a_positive_label_or_with_certain_answers():
    none = np.zeros((4, 2), np.uint8)
    assert worth("mean_ap", np.ones((4, 2)), none) == 0.0
    assert worth("negative_loss", np.full((4, 2), -1e4), none) == 0.0


@pytest.mark.parametrize("network", ["search", "final"])
def test_own_statistics_are_those_of_the_batch_and_change_nothing(network, session):
    """The same as training without dropout; the moving statistics stay."""
    config = run_config()
    child = ChildConfig(**{**vars(CHILD), "network": network})
    config = RunConfig(**{**vars(config), "child": child})
    images = tf.constant(np.random.default_rng(1).integers(0, 256, (9, 16, 16, 3), np.uint8))
    arc = tf.constant([0, 3, 1, 5, 1, 0])
    rewarded = logits_of_own_statistics(images, arc, config)
    trained = child_logits(images, arc, ChildConfig(**{**vars(child), "keep_prob": 1.0}), 0,
                           tf.constant([1, 2]))
    moving = [v for v in tf.global_variables() if "/moving_" in v.op.name]
    run = session()
    before = run.run(moving)
    own = run.run(rewarded)
    for value, kept in zip(run.run(moving), before):
        np.testing.assert_array_equal(value, kept)
    np.testing.assert_allclose(own, run.run(trained), atol=1e-5)
    assert any((value != kept).any() for value, kept in zip(run.run(moving), before))


def test_a_reward_is_compared_with_the_others_of_its_update(session):
    """Rewards that are all lower than before move nothing, else only their differences do."""
    config = ControllerConfig(num_layers=3, num_branches=6, baseline="others",
                              reward_scale=10.0, num_aggregate=4, sync_replicas=True)
    w = general_controller.controller_variables(config, seed=0)
    arcs = tf.constant([[0, 1, 0, 2, 1, 1]] * 4)
    given = tf.placeholder(tf.float32, [4])
    update = general_controller.reinforce(
        general_controller.replay(arcs, config, w), given, config, w)
    run = session()
    for values in ([0.2, 0.3, 0.3, 0.4], [0.5, 0.1, 0.5, 0.9], [0.1, 0.1, 0.1, 0.1]):
        baselines, norm, _ = run.run(
            [update.baseline, update.step.grad_norm, update.step.train_op], {given: values})
        for i, baseline in enumerate(baselines):
            expected = 10 * np.mean(values[:i] + values[i + 1:])
            assert baseline == pytest.approx(expected, rel=1e-5)
    assert norm == pytest.approx(0.0, abs=1e-5)


def test_one_sample_has_no_others():
    flags = {**tiny_run.SEARCH, "data_path": "data", "output_dir": "run",
             "controller_baseline": "others", "controller_num_aggregate": 1}
    with pytest.raises(ConfigError, match="--controller_baseline=others"):
        resolve.check(table.parse(tiny_run.words(flags)))


def test_phases_begin_after_the_warm_up_and_tell_their_measure(tiny_data, tmp_path):
    """The same run stopped and continued has used the same reward batches."""
    flags = {**tiny_run.SHALLOW_SEARCH, "data_path": tiny_data, "cache_dir": tmp_path / "cache",
             "output_dir": tmp_path / "run", "num_epochs": 4, "controller_warmup_epochs": 2,
             "controller_reward": "mean_ap", "controller_reward_bn": "batch",
             "controller_reward_images": 20, "controller_baseline": "others",
             "controller_reward_scale": 10}
    tiny_run.run(flags)
    records = [json.loads(line)
               for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    samples = [record for record in records if record["kind"] == "controller"]
    assert {record["child_step"] for record in samples} == {15, 20}  # 5 steps an epoch
    for record in samples:
        assert "exact_match" not in record
        assert record["reward"] == pytest.approx(
            10 * record["mean_ap"] + 1e-4 * record["entropy"], rel=1e-5)
    printed = [json.loads(line) for line in
               (tmp_path / "run" / "architectures.jsonl").read_text().splitlines()]
    assert {record["epoch"] for record in printed} == {2, 3}
    assert {record["images"] for record in printed} == {20}


def test_weights_that_are_shared_alike_do_not_follow_the_policy(tiny_data, tmp_path):
    """Whatever the controller learns, the child is trained on the same architectures."""
    losses, entropies = [], []
    for rate in (0.001, 0.5):
        folder = tmp_path / f"run_{rate}"
        tiny_run.run({**tiny_run.SHALLOW_SEARCH, "data_path": tiny_data, "num_epochs": 2,
                      "cache_dir": tmp_path / "cache", "output_dir": folder,
                      "controller_lr": rate, "child_sampling": "uniform"})
        records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        losses.append([record["loss"] for record in records if record["kind"] == "child"])
        entropies.append([record["entropy"] for record in records
                          if record["kind"] == "controller"])
    assert losses[0] == losses[1] and len(losses[0]) == 10
    assert entropies[0][-1] > entropies[1][-1] + 0.1


def test_every_measure_is_known():
    for measure in REWARDS:
        assert np.isfinite(worth(measure, np.zeros((2, 1)), np.ones((2, 1), np.uint8)))
