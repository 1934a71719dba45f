"""The ranking study: its statistics against slow twins, and its work shared and resumed."""

import itertools
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from AEROBI.architecture import Architecture

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "studies"))

import ranking_study

FLAGS = ["--child_num_layers=3", "--child_num_branches=6", "--child_out_filters=4",
         "--img_size=16", "--data_path=data"]
CELLS = ["--search_for=micro", "--child_num_cells=2", "--child_num_layers=3",
         "--child_out_filters=4", "--img_size=16", "--data_path=data"]


def slow_kendall(a, b) -> float:
    """Pair by pair."""
    agree = pairs_a = pairs_b = 0
    for i, j in itertools.combinations(range(len(a)), 2):
        x, y = np.sign(a[i] - a[j]), np.sign(b[i] - b[j])
        agree, pairs_a, pairs_b = agree + x * y, pairs_a + abs(x), pairs_b + abs(y)
    return agree / np.sqrt(pairs_a * pairs_b)


def test_kendall_against_its_definition():
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = rng.integers(6, size=(2, 12))
        assert ranking_study.kendall(a, b) == pytest.approx(slow_kendall(a, b))
    assert ranking_study.kendall([1, 2, 3], [4, 5, 9]) == 1
    assert ranking_study.kendall([1, 2, 3], [3, 2, 1]) == -1
    assert ranking_study.kendall([1, 1, 1], [3, 2, 1]) == 0


def test_the_interval_holds_the_value_and_narrows():
    rng = np.random.default_rng(1)
    widths = []
    for count in (10, 80):
        a = rng.normal(size=count)
        b = a + rng.normal(size=count)
        low, high = ranking_study.interval(a, b)
        assert low < ranking_study.kendall(a, b) < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_the_ceiling_is_one_without_noise_and_low_with_nothing_else():
    rng = np.random.default_rng(2)
    means = rng.random((30, 1))
    assert ranking_study.halves(means + np.zeros((1, 4))) == 1
    assert abs(ranking_study.halves(rng.random((200, 4)))) < 0.15


@pytest.fixture
def trainings(monkeypatch):
    """The trainings that are made, in place of real ones."""
    made = []

    def train(study, architecture, seed, folder):
        made.append(folder.name)
        (folder / ranking_study.SCORE).write_text(json.dumps(
            {"both": sum(architecture.numbers()) / 100 + seed,
             "val": sum(architecture.numbers()) / 100}))

    monkeypatch.setattr(ranking_study, "_train", train)
    return made


def test_what_is_trained_is_not_trained_again(trainings, tmp_path):
    study = ranking_study.Study(tmp_path, range(2), FLAGS)
    architectures = {"a": Architecture.parse("1 2 0 3 1 1", 3),
                     "b": Architecture.parse("0 2 0 3 1 1", 3)}
    first = ranking_study.train_alone(study, architectures)
    assert first == {"a": [(0.08, 0.08), (1.08, 0.08)], "b": [(0.07, 0.07), (1.07, 0.07)]}
    (tmp_path / "alone/b_1" / ranking_study.SCORE).unlink()
    assert ranking_study.train_alone(study, architectures) == first
    assert trainings == ["a_0", "a_1", "b_0", "b_1", "b_1"]


@pytest.mark.parametrize("flags", [FLAGS, CELLS], ids=["macro", "micro"])
def test_the_whole_study(flags, trainings, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(sys, "argv", ["ranking_study.py", f"--output_dir={tmp_path}", "--seeds=2",
                                      "--architectures=6", "--short=3", "--", *flags])
    assert ranking_study.main() == 0
    output = capsys.readouterr().out
    assert "noise ceiling: τ between two halves of the seeds +1.00" in output
    assert ("few skips" in output) == (flags is FLAGS)
    for name in ("parameters", "multiply-adds", "+1.00              +1.00 to +1.00  "
                 "alone for 3 epochs", "one seed's validation against the others: τ +1.00"):
        assert name in output
    assert trainings.count("random_0_2") == 1  # the short one, with a seed of its own
    assert (tmp_path / ranking_study.PLOT).stat().st_size > 1000
    record = json.loads((tmp_path / "study.json").read_text())
    assert len(record["architectures"]) == 6 and np.shape(record["truth"]) == (6, 2)


def test_signals_of_searches_with_and_without_shared_weights(alone_search, tiny_search):
    """Of the one what it expects, of the other every kind of score."""
    for search, layers, count in ((alone_search, 2, 2), (tiny_search, 3, 9)):
        rng = np.random.default_rng(0)
        architectures = [Architecture.random(layers, rng) for _ in range(3)]
        signals = ranking_study._signals_of_search(search, architectures)
        assert len(signals) == count
        assert all(len(values) == 3 and np.isfinite(values).all() for values in signals.values())
