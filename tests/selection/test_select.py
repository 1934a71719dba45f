"""Choosing an architecture of a finished search: the real thing, tiny."""

import json

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny_run
from conftest import golden_values
from written_by_published_code import published_checkpoint

from AEROBI import general_controller
from AEROBI.architecture import Architecture
from AEROBI.commands import select as select_command
from AEROBI.config import ControllerConfig
from AEROBI.data.input_pipeline import StreamConfig, load_batch
from AEROBI.data.packed_images import open_packed
from AEROBI.data_utils import read_data_set
from AEROBI.flags.from_run_dir import stored_search
from AEROBI.general_child import search_child
from AEROBI.image_ops import LayerMode, towards_batch
from AEROBI.records import ranking
from AEROBI.selection.finished_search import RECALIBRATION_BATCHES, open_search
from AEROBI.selection.real_training import Wanted, candidates_of
from AEROBI.selection.select import ANYTHING, Draws, draw_without_weights, select


@pytest.fixture(scope="module")
def selected(tiny_search, tmp_path_factory):
    """What the command wrote and said."""
    output = tmp_path_factory.mktemp("selected") / "a.json"
    stdout = tiny_run.aerobi("select", tiny_search, "--samples=12", "--top=4", f"--output={output}")
    return ranking.load(output), stdout


def test_ranked_best_first_with_the_most_likely_one(selected):
    found, stdout = selected
    scores = [candidate.exact_match for candidate in found.architectures]
    assert scores == sorted(scores, reverse=True)
    assert [candidate.rank for candidate in found.architectures] == list(range(1, len(scores) + 1))
    texts = [candidate.architecture for candidate in found.architectures]
    assert len(set(texts)) == len(texts)
    assert sum(candidate.times_sampled for candidate in found.architectures) == 12
    assert sum(candidate.most_likely for candidate in found.architectures) == 1
    assert found.images == tiny_run.SIZES.val and found.bn == "recalibrated"
    lines = stdout.splitlines()
    assert f"{len(texts)} different architectures of 12" in lines[0]
    assert len(lines) == 1 + 1 + 4 + 1 and texts[0] in lines[2]


def test_a_ranking_is_what_a_final_training_begins_with(selected, tiny_search, tmp_path):
    found, _ = selected
    ranking.save(tmp_path / "a.json", found)
    values = {"data_path": "d", "output_dir": "o", "child_fixed_arc": f"{tmp_path}/a.json#2"}
    from AEROBI.flags import table
    from AEROBI.flags.resolve import check
    words = tiny_run.words({**tiny_run.FINAL, **values})
    arc = check(table.parse(words))["child_fixed_arc"]
    assert arc == found.architectures[1].architecture


def test_the_same_search_gives_the_same_ranking(tiny_search):
    runs = [select(tiny_search, Draws(5, "controller"), "moving") for _ in range(2)]
    assert runs[0] == runs[1]
    random = select(tiny_search, Draws(5, "random"), "moving")
    assert random.policy == "random" and not any(
        candidate.most_likely for candidate in random.architectures)


def test_the_best_that_chance_drew_are_trained_beside_those_of_the_policy(tiny_search):
    found = select(tiny_search, Draws(8, "controller", by_chance=8), "moving")
    by_chance = [candidate for candidate in found.architectures
                 if not candidate.times_sampled and not candidate.most_likely]
    of_policy = [candidate for candidate in found.architectures if candidate.times_sampled]
    assert 4 < len(by_chance) <= 8 and sum(
        candidate.times_sampled for candidate in of_policy) == 8
    chosen = candidates_of(found, Wanted(3, 2, 2, None))
    assert [candidate for candidate in chosen if candidate in by_chance] == by_chance[:2]
    likely = [candidate for candidate in found.architectures if candidate.most_likely]
    assert set(likely) < set(chosen)
    assert [candidate for candidate in chosen if candidate.times_sampled] == [
        candidate for candidate in of_policy if candidate in chosen]
    assert {*of_policy[:2]} < {*chosen} and 5 <= len(chosen) <= 6


def test_a_search_for_connections_is_chosen_from_as_it_searched(tiny_data, tmp_path):
    """Operation 0 alone, whoever draws: the search, its controller, chance."""
    flags = {**tiny_run.SEARCH, "num_epochs": 1, "search_for": "connection",
             "data_path": tiny_data, "cache_dir": tmp_path / "cache", "output_dir": tmp_path / "s"}
    tiny_run.run(flags)
    drawn = [candidate.architecture for policy in ("controller", "random")
             for candidate in select(tmp_path / "s", Draws(8, policy), "moving").architectures]
    chance = draw_without_weights(stored_search(tmp_path / "s").config, 8, 8, 20, ANYTHING)
    drawn += [candidate.architecture for candidate in chance.architectures]
    drawn += [line["architecture"] for line in map(
        json.loads, (tmp_path / "s/architectures.jsonl").read_text().splitlines())]
    assert len(set(drawn)) > 4
    assert {Architecture.parse(text, tiny_run.LAYERS).ops for text in drawn} == {(0, 0, 0)}


def test_recalibrated_statistics_are_means_over_training_batches(tiny_search):
    """Against means collected by hand, with no moving statistics at all."""
    run = stored_search(tiny_search)
    architecture = Architecture.parse("2 4 1 0 0 1", 3)
    config, data = run.config.child, run.config.data
    splits = open_packed(read_data_set(data.data_path), data.img_size, data.cache_dir)
    with open_search(tiny_search, "recalibrated") as shared:
        shared.score(Architecture.parse("5 5 0 3 1 1", 3))  # leaves its statistics behind
        shared.score(architecture)
        moving = {v.op.name: v for v in shared.session.graph.get_collection(
            tf.GraphKeys.GLOBAL_VARIABLES, "child/") if "/moving_" in v.op.name}
        name = "child/layer_0/branch_2/inp_conv_1/bn/moving_mean"
        got = shared.session.run(moving[name])
        weights = shared.session.run({v.op.name: v for v in shared.session.graph.get_collection(
            tf.GraphKeys.TRAINABLE_VARIABLES, "child/")})
    stream = StreamConfig("scoring", 40, data.img_size, run.config.seed, "train")
    images = tf.placeholder(tf.uint8, [None, data.img_size, data.img_size, 3])
    search_child(images, tf.constant(architecture.numbers()), config,
                 LayerMode("NHWC", True, 0, moving_change=towards_batch(0.0)),
                 tf.constant([1, 2]))
    graph = tf.get_default_graph()
    # The convolution before that BN: its mean over images and pixels is the statistic.
    conv = graph.get_operation_by_name("child/layer_0/branch_2/inp_conv_1/Conv2D").outputs[0]
    with tf.Session() as session:
        for v in tf.global_variables():
            v.load(weights.get(v.op.name, np.zeros(v.shape)), session)
        means = [session.run(conv, {images: load_batch(splits["train"], position, stream)[0]})
                 .mean((0, 1, 2)) for position in range(RECALIBRATION_BATCHES)]
    np.testing.assert_allclose(got, np.mean(means, 0), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("bn, trains", [
    ("moving", {False}), ("batch", {True}), ("recalibrated", {False, True})])
def test_only_the_forms_that_score_are_built(tiny_search, bn, trains):
    with open_search(tiny_search, bn) as shared:
        assert shared.score(shared.most_likely()).images == tiny_run.SIZES.val
        found = shared.session.graph.get_operations()
    assert {op.get_attr("is_training") for op in found
            if op.type == "FusedBatchNormV3"} == trains


def test_most_likely_is_greedy():
    """Against the log probabilities of all architectures that differ in one decision."""
    config = ControllerConfig(num_layers=3, num_branches=4, tanh_constant=2.5)
    weights = general_controller.controller_variables(config, seed=5)
    likely = general_controller.most_likely(config, weights).arcs
    arcs = tf.placeholder(tf.int32, [None, 6])
    nll = general_controller.replay(arcs, config, weights).nll
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        for v in weights[1:]:  # larger weights, so that no two choices are nearly alike
            v.load(20 * session.run(v), session)
        (found,) = session.run(likely)
        last = np.tile(found, (2, 1))
        last[1, 5] = 1 - last[1, 5]  # nothing depends on the last skip
        kept, flipped = session.run(nll, {arcs: last})
    assert kept < flipped
    Architecture.from_numbers(found, 3)


@pytest.mark.parametrize("where, part", [("nowhere", "holds no run"), ("final", "not a search")])
def test_what_is_no_search_is_refused(where, part, tmp_path, tiny_final, capsys):
    run_dir = tiny_final if where == "final" else tmp_path
    assert select_command.main([str(run_dir), f"--output={tmp_path}/a.json"]) == 2
    assert part in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()


def test_a_search_without_a_checkpoint_is_refused(tiny_search, tmp_path, capsys):
    (tmp_path / "config.json").write_text((tiny_search / "config.json").read_text())
    assert select_command.main([str(tmp_path)]) == 2
    assert "no checkpoint yet" in capsys.readouterr().err
    assert json.loads((tmp_path / "config.json").read_text())
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]


def test_a_search_of_the_published_code(golden, tiny_data, tmp_path, capsys):
    """Its checkpoint says how large child and controller are; the images are named."""
    child, controller = (golden_values(golden(name)) for name in ("search_child", "controller"))
    published_checkpoint({**child, **controller}, tmp_path)
    words = [str(tmp_path / "model.ckpt-123"), "--samples=4", f"--output={tmp_path}/a.json"]
    assert select_command.main(words) == 2 and "--data_path" in capsys.readouterr().err
    assert select_command.main([*words, f"--data_path={tiny_data}", "--img_size=32"]) == 0
    found = ranking.load(tmp_path / "a.json")
    assert found.num_layers == 7 and found.images == tiny_run.SIZES.val
    assert len(found.architectures) <= 5


def test_a_budget_is_kept_before_anything_is_scored(tiny_search, tmp_path, capsys):
    words = [str(tiny_search), "--samples=12", f"--output={tmp_path}/a.json"]
    assert select_command.main(words) == 0
    everything = ranking.load(tmp_path / "a.json").architectures
    limit = sorted(candidate.parameters for candidate in everything)[len(everything) // 2]
    assert select_command.main([*words, f"--max_parameters={limit}"]) == 0
    kept = ranking.load(tmp_path / "a.json").architectures
    assert {candidate.architecture for candidate in kept} == {
        candidate.architecture for candidate in everything if candidate.parameters <= limit}
    assert all(candidate.parameters <= limit for candidate in kept)
    (tmp_path / "a.json").unlink()
    assert select_command.main([*words, "--max_multiply_adds=10"]) == 2
    assert "--max_multiply_adds=10: none of the" in capsys.readouterr().err
    assert not (tmp_path / "a.json").exists()


def test_ranked_by_mean_average_precision(tiny_search, tmp_path):
    assert select_command.main([str(tiny_search), "--samples=6", f"--output={tmp_path}/a.json",
                                "--rank_by=mean_average_precision"]) == 0
    found = ranking.load(tmp_path / "a.json")
    precisions = [candidate.mean_average_precision for candidate in found.architectures]
    assert precisions == sorted(precisions, reverse=True)
    assert found.ranked_by == "mean_average_precision"


@pytest.mark.parametrize("words, part", [
    (["--samples=1000000000"], "from 1 to 100000"), (["--eta=1"], "2 or more"),
    (["--rungs=1,x"], "'x' is not a whole number")])
def test_numbers_out_of_bounds(words, part, capsys):
    with pytest.raises(SystemExit) as stopped:
        select_command.main(["outputs", *words])
    assert stopped.value.code == 2 and part in capsys.readouterr().err
