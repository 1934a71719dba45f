"""Real trainings of candidates: successive halving, killed, resumed, shared; the real thing, tiny.

All runs here are random search with halving, which needs no search: three candidates are trained
for an epoch, two of them for another one.
"""

import dataclasses
import json
import signal
import time

import numpy as np
import pytest
import tiny_run
from warm_process import WarmProcess

from AEROBI.commands import select as command
from AEROBI.records import ranking

SIZE = {name: value for name, value in tiny_run.SHALLOW_SEARCH.items()
        if not name.startswith("controller") and name not in ("num_epochs", "child_lr_T_0")}
EPOCHS = 2


def words(folder, data, *more):
    return [str(folder / "chance"), "--policy=random", "--train=3", "--rungs=1,2",
            "--no-annealed", *more, "--",
            *tiny_run.words({**SIZE, "num_epochs": EPOCHS, "data_path": data, "log_every": 1,
                             "cache_dir": folder / "cache"})]


def start(folder, data, *more):
    return WarmProcess("AEROBI.commands.select", words(folder, data, *more),
                       tiny_run.environment(), merged=False)


def finish(process):
    output, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    return output


def results(folder):
    """File -> result, without what depends on the machine."""
    found = {}
    for path in sorted((folder / "chance" / "halving").glob("*.rung_*.json")):
        found[path.name] = json.loads(path.read_text())
        assert found[path.name].pop("cpu_seconds") > 0
    return found


def final_ranking(folder):
    found = ranking.load(folder / "chance" / ranking.FILE)
    return dataclasses.replace(found, halving=dataclasses.replace(
        found.halving, cpu_minutes=0, folder=""))


def steps(folder, candidate):
    path = folder / "chance" / "halving" / candidate / "metrics.jsonl"
    return [record["step"] for record in map(json.loads, path.open())
            if record["kind"] == "child"]


@pytest.fixture(scope="module")
def whole(tiny_data, tmp_path_factory):
    """The folder of a run that nobody interrupted, and what it said."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, finish(start(folder, tiny_data))


def test_the_right_ones_go_on(whole):
    found = results(whole[0])
    first = {name: result for name, result in found.items() if "rung_1" in name}
    assert len(first) == 3 and len(found) == 5
    best = sorted(first, reverse=True, key=lambda name: (
        first[name]["exact_match"], first[name]["mean_average_precision"]))[:2]
    assert {name.replace("rung_1", "rung_2") for name in best} == found.keys() - first.keys()
    per_epoch = -(-tiny_run.SIZES.train // SIZE["batch_size"])
    for name, result in found.items():
        assert result["epochs"] == int(name[-6])
        assert [epoch for epoch, _ in result["curve"]] == list(range(1, result["epochs"] + 1))
    for name in first:
        candidate = name.partition(".")[0]
        done = 2 if f"{candidate}.rung_2.json" in found else 1
        assert steps(whole[0], candidate) == list(range(1, done * per_epoch + 1))


def test_the_ranking_is_by_real_training(whole):
    folder, output = whole
    found = ranking.load(folder / "chance" / ranking.FILE)
    trained = [candidate.trained for candidate in found.architectures]
    assert [training.rung for training in trained] == [2, 2, 1]
    assert (trained[0].exact_match, trained[0].mean_average_precision) >= (
        trained[1].exact_match, trained[1].mean_average_precision)
    assert found.halving.rungs == (1, 2) and found.halving.cpu_minutes > 0
    # There were no shared weights.
    assert all(candidate.exact_match is None for candidate in found.architectures)
    lines = output.splitlines()
    assert lines[0].startswith("training 3 candidates for real (3 to epoch 1, 2 to epoch 2): 5 ")
    assert "minutes more" in lines[1]
    assert found.architectures[0].architecture in lines[3] and "CPU minutes" in lines[6]
    assert f"aerobi evaluate {folder}" in lines[7]


def test_going_on_is_the_whole_training(whole, tiny_data):
    """The winner's weights are those of a final training of all epochs in one piece."""
    folder, _ = whole
    best = ranking.load(folder / "chance" / ranking.FILE).architectures[0]
    tiny_run.run({**tiny_run.SHALLOW_FINAL, **SIZE, "num_epochs": EPOCHS, "child_lr_T_0": EPOCHS,
                  "child_keep_prob": 1.0, "child_l2_reg": 0.0005,
                  "child_lr_per_step": True, "data_path": tiny_data,
                  "cache_dir": folder / "cache", "output_dir": folder / "alone",
                  "child_fixed_arc": best.architecture})
    alone = tiny_run.weights(folder / "alone")
    halved = tiny_run.weights(folder / "chance" / "halving" / best.trained.run_dir)
    assert alone.keys() == halved.keys()
    for name, value in alone.items():
        np.testing.assert_allclose(halved[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_annealed_rungs_are_trainings_of_their_own(tiny_data, tmp_path):
    """Killed after the first rung and continued; the last rung is the whole training."""
    process = start(tmp_path, tiny_data, "--annealed")
    wait_for(lambda: list((tmp_path / "chance" / "halving").glob("*.rung_1.json"))[2:], process)
    process.kill()
    process.communicate()
    output = finish(start(tmp_path, tiny_data, "--annealed"))
    assert "(3 to epoch 1, 2 to epoch 2): 7 epochs in all" in output
    found = ranking.load(tmp_path / "chance" / ranking.FILE)
    assert found.halving.annealed
    assert [candidate.trained.epochs for candidate in found.architectures] == [2, 2, 1]
    per_epoch = -(-tiny_run.SIZES.train // SIZE["batch_size"])
    for candidate in found.architectures:
        trained = candidate.trained
        assert trained.run_dir.endswith("_1_epochs") == (trained.epochs == 1)
        assert steps(tmp_path, trained.run_dir) == list(range(1, trained.epochs * per_epoch + 1))
        config = json.loads((tmp_path / "chance" / "halving" / trained.run_dir
                             / "config.json").read_text())["configuration"]
        assert config["num_epochs"] == config["child_lr_T_0"] == trained.epochs


def test_stopped_and_killed_in_every_rung_and_continued_by_two(whole, tiny_data, tmp_path):
    halving = tmp_path / "chance" / "halving"
    process = start(tmp_path, tiny_data)
    wait_for(lambda: steps(tmp_path, "candidate_01")[3:], process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGINT and "goes on" in errors, errors
    assert "Traceback" not in errors and not results(tmp_path)
    for pattern in ("candidate_02.rung_1.json", "*.rung_2.json"):
        process = start(tmp_path, tiny_data)
        wait_for(lambda: list(halving.glob(pattern)), process)  # noqa: B023
        process.kill()
        process.communicate()
    both = [start(tmp_path, tiny_data) for _ in range(2)]
    assert finish(both[0]).splitlines()[-5:-3] == finish(both[1]).splitlines()[-5:-3]
    assert results(tmp_path) == results(whole[0])
    assert final_ranking(tmp_path) == final_ranking(whole[0])


def test_two_from_the_start_share_the_work(whole, tiny_data, tmp_path):
    both = [start(tmp_path, tiny_data) for _ in range(2)]
    for process in both:
        finish(process)
    assert results(tmp_path) == results(whole[0])
    per_epoch = -(-tiny_run.SIZES.train // SIZE["batch_size"])
    for candidate in ranking.load(tmp_path / "chance" / ranking.FILE).architectures:
        done = list(range(1, candidate.trained.epochs * per_epoch + 1))
        assert steps(tmp_path, candidate.trained.run_dir) == done


@pytest.mark.parametrize("more, part", [
    (["--eta=3"], "eta: 2 there, 3 now"), (["--max_parameters=9999999"], "max_parameters")])
def test_a_folder_of_other_trainings_is_refused(more, part, whole, tiny_data, capsys):
    before = results(whole[0])
    assert command.main(words(whole[0], tiny_data, *more)) == 2
    errors = capsys.readouterr().err
    assert part in errors and "--trainings" in errors and "Traceback" not in errors
    assert results(whole[0]) == before


@pytest.mark.parametrize("flags, part", [
    (["--output_dir=x"], "--output_dir"), (["--nonsense"], "nonsense"),
    (["--data_path=/no/such"], "/no/such"), ([], "--data_path"),
    (["--early_stopping_epochs=3"], "--early_stopping_epochs")])
def test_flags_that_cannot_be(flags, part, tmp_path, capsys):
    assert command.main([str(tmp_path / "new"), "--policy=random", "--train", "--", *flags]) == 2
    assert part in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def wait_for(condition, process):
    """Until the condition holds; files may not be there yet."""
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        try:
            if condition():
                return
        except (FileNotFoundError, ValueError):
            pass
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.005)
    raise AssertionError("nothing came")
