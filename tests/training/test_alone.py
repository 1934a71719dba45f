"""Searches whose architectures share no weights: the real thing, tiny."""

import json
import signal

import numpy as np
import pytest
import tiny_run
from test_resume import assert_said_so, assert_same, interrupt

from AEROBI.config import ConfigError
from AEROBI.flags import presets, resolve, table
from AEROBI.records import ranking, search_history
from AEROBI.run.checkpoints import CheckpointError
from AEROBI.selection.finished_search import open_search
from AEROBI.selection.select import Draws, select


def records(run_dir) -> dict[str, list[dict]]:
    """Of metrics.jsonl, by kind."""
    found: dict[str, list[dict]] = {}
    for line in (run_dir / "metrics.jsonl").read_text().splitlines():
        record = json.loads(line)
        found.setdefault(record["kind"], []).append(record)
    return found


def test_every_training_begins_anew(tiny_data, tmp_path):
    """With a single architecture and a batch of all images the trainings differ in flips alone."""
    tiny_run.run({**tiny_run.ALONE_SEARCH, "data_path": tiny_data, "cache_dir": tmp_path / "cache",
                  "output_dir": tmp_path / "run", "child_num_layers": 1, "child_num_branches": 1,
                  "batch_size": tiny_run.SIZES.train, "child_alone_epochs": 4, "num_epochs": 12,
                  "child_lr_max": 1.0, "child_lr_T_0": 4, "nocontroller_training": True,
                  "child_l2_reg": 0, "child_keep_prob": 1.0})
    steps = records(tmp_path / "run")["child"]
    losses = np.array([step["loss"] for step in steps]).reshape(3, 4)
    rates = np.array([step["lr"] for step in steps]).reshape(3, 4)
    assert (losses[:, 3] < 0.9 * losses[:, 0]).all()
    np.testing.assert_allclose(losses[1:], [losses[0]] * 2, rtol=0.05)
    assert (rates == rates[0]).all() and (np.diff(rates[0]) < 0).all()


def test_what_trainings_came_to_is_recorded_and_learnt_from(alone_search):
    found = records(alone_search)
    trained = found["alone"]
    assert [record["epoch"] for record in trained] == [1, 3, 5, 7]
    assert len({record["architecture"] for record in trained}) > 1
    for record in trained:
        assert 0 <= record["exact_match"] <= 1 and 0 <= record["mean_ap"] <= 1
    # The evaluation at the end of a training is of that very architecture.
    at_the_end = {(record["epoch"], record["exact_match"]) for record in found["evaluation"]
                  if record["split"] == "val"}
    assert at_the_end == {(record["epoch"], record["exact_match"]) for record in trained[1::2]}
    assert all("modelled_worth" in record and "mean_ap" not in record
               for record in found["controller"])
    phases = {record["child_step"] for record in found["controller"]}
    assert phases == {30, 40}  # 5 steps an epoch, after epochs 6 and 8
    printed = [json.loads(line)
               for line in (alone_search / "architectures.jsonl").read_text().splitlines()]
    assert {record["images"] for record in printed} == {tiny_run.SIZES.val}
    assert (alone_search / "best_architecture.txt").read_text().strip() in {
        *(record["architecture"] for record in trained),
        *(record["architecture"] for record in printed)} | _drawn_last(alone_search)


def _drawn_last(run_dir) -> set[str]:
    """What the log names: of it the ten last drawn are not printed."""
    return {(run_dir / "stdout").read_text().splitlines()[-1].rpartition("): ")[2]}


@pytest.mark.parametrize("moment, number", [
    (r"ch_step=13 ", signal.SIGTERM), (r"ctrl_step=6 ", signal.SIGKILL)])
def test_an_interrupted_one_ends_as_if_it_had_not_been(moment, number, alone_search, tiny_data,
                                                       tmp_path):
    """In the middle of a training, and of a phase at the end of one."""
    flags = {**tiny_run.ALONE_SEARCH, "data_path": tiny_data, "cache_dir": tmp_path / "cache",
             "output_dir": tmp_path / "run", "deterministic": True, "checkpoint_secs": 0.05}
    output = interrupt(flags, moment, number)
    if number == signal.SIGTERM:
        assert_said_so(output, number)
    assert "Resuming after" in tiny_run.run(flags)
    assert_same(tmp_path / "run", alone_search)


def test_it_is_chosen_from_by_its_trainings(alone_search, tmp_path):
    found = select(alone_search, Draws(6, "controller", by_chance=4), "recalibrated")
    assert found.bn == "" and found.images == tiny_run.SIZES.val
    trained = {record["architecture"] for record in records(alone_search)["alone"]}
    names = [candidate.architecture for candidate in found.architectures]
    assert trained < set(names)
    assert sum(candidate.times_sampled for candidate in found.architectures) == 6 + 4
    with open_search(alone_search, "batch") as search:
        assert not [op for op in search.session.graph.get_operations() if "Conv" in op.type]
        best = search.space.parse(names[0])
        assert search.score(best).exact_match == found.architectures[0].exact_match
    assert "the search's own short trainings" in tiny_run.aerobi(
        "select", alone_search, "--samples=5", f"--output={tmp_path / 'ranked.json'}")
    assert ranking.load(tmp_path / "ranked.json").bn == ""


def test_pictures_say_what_its_exact_matches_are(alone_search, tiny_search):
    assert search_history.read(alone_search).printed_with == "expected"
    assert search_history.read(tiny_search).printed_with == "one batch"
    events, = (alone_search / "events").iterdir()
    assert events.read_bytes().count(b"architecture/best_of_the_printed") == 2


def test_one_that_ended_before_its_first_training_says_so(tiny_data, tmp_path):
    flags = {**tiny_run.ALONE_SEARCH, "data_path": tiny_data, "cache_dir": tmp_path / "cache",
             "output_dir": tmp_path / "run"}
    interrupt(flags, r"ch_step=3 ", signal.SIGTERM)
    with pytest.raises(CheckpointError, match="let it go on"), open_search(
            tmp_path / "run", "batch"):
        pass


def test_refused_before_anything_is_read(tmp_path):
    flags = {**tiny_run.ALONE_SEARCH, "data_path": "data", "output_dir": "run", "num_epochs": 7}
    with pytest.raises(ConfigError, match=r"--num_epochs=7.*multiple of --child_alone_epochs=2"):
        resolve.check(table.parse(tiny_run.words(flags)))
    mid_training = {**flags, "num_epochs": 8, "controller_train_every": 1}
    with pytest.raises(ConfigError, match=r"--controller_train_every=1: the policy would change"):
        resolve.check(table.parse(tiny_run.words(mid_training)))
    assert "--child_alone_epochs" in tiny_run.run(
        {**flags, "num_epochs": 8, "job_name": "worker", "task_index": 0,
         "ps_hosts": "localhost:1", "worker_hosts": "localhost:2"}, expect=2)


def test_the_tuned_recipe_comes_down_within_each_training():
    values = table.parse(presets.words("search", ["--data_path=d"]))
    assert values["child_lr_T_0"] == values["child_alone_epochs"] == 3
    assert values["controller_warmup_epochs"] == 39  # a quarter, and no training is cut
    shared = table.parse(presets.words("search", ["--recipe=shared", "--num_epochs=80"]))
    assert (shared["child_lr_T_0"], shared["controller_warmup_epochs"]) == (80, 60)
    assert table.parse(presets.words("final", []))["child_lr_T_0"] == 60
