"""Files of a search for cells: log, JSON lines, strings, ranking; with and without flags."""

import json
import math

import numpy as np
import pytest

from AEROBI.micro.cells import CELL_OPERATIONS, MicroArchitecture
from AEROBI.records import log_extract, published_log, ranking, search_history
from AEROBI.records.ranking import Candidate, Ranking, RankingError
from AEROBI.records.run_records import read_run
from AEROBI.search_space.spaces import MicroSpace

ARCHITECTURES = [MicroArchitecture.random(4, np.random.default_rng(seed)) for seed in range(3)]
CONFIG = {"search_for": "micro", "child_num_cells": 4, "child_num_layers": 3, "num_epochs": 1,
          "child_fixed_arc": None}


def write_log(path):
    lines = [published_log.controller_header(0), published_log.architectures_header(3)]
    for architecture in ARCHITECTURES:
        lines += published_log.architecture_lines(architecture.rows(), 0.5)
    lines += [published_log.evaluation_header(0), published_log.accuracy_line("valid", 0.25),
              published_log.accuracy_line("test", 0.125)]
    path.write_text("\n".join([*lines, f"Best of 3 (exact match 0.5000): {ARCHITECTURES[1]}", ""]))


@pytest.fixture
def folder(tmp_path):
    write_log(tmp_path / "stdout")
    return tmp_path


@pytest.mark.parametrize("configured", [True, False])
def test_the_history_of_a_log(folder, configured):
    if configured:
        (folder / "config.json").write_text(json.dumps({"configuration": CONFIG}))
    history = search_history.read(folder)
    assert list(history.architectures) == ARCHITECTURES
    assert list(history.evaluated_after) == [3]
    chosen = search_history.chosen_operations(history.architectures)
    assert chosen.shape == (3, 16, len(CELL_OPERATIONS)) and (chosen.sum(2) == 1).all()
    shares = search_history.operation_shares(history.architectures, 2)
    np.testing.assert_allclose(shares.sum(1), 1)


def test_strings_by_cell_and_by_architecture(folder):
    log_extract.extract(folder / "stdout", 7, folder / "extracted")
    text = (folder / "extracted" / log_extract.ARCHITECTURES_FILE).read_text()
    assert len(text.splitlines()) == 6  # of four nodes, so that a line might be two cells of two
    extracted = search_history.read(folder / "extracted")
    (folder / "whole.txt").write_text("".join(f"{cells}\n" for cells in ARCHITECTURES))
    whole = search_history.read(folder / "whole.txt")
    assert list(extracted.architectures) == list(whole.architectures) == ARCHITECTURES
    assert list(extracted.valid_accuracy) == [0.25]


@pytest.mark.parametrize("nodes", [2, 7, 9])  # 28 and 36 numbers could be layers
def test_strings_of_cells_that_could_be_layers(nodes, tmp_path):
    cells = [MicroArchitecture.random(nodes, np.random.default_rng(seed)) for seed in range(3)]
    rows = [" ".join(map(str, row)) for architecture in cells for row in architecture.rows()]
    for lines in (rows, list(map(str, cells))):
        (tmp_path / "arc_string_output.txt").write_text("\n".join(lines))
        assert search_history.read(tmp_path).architectures == tuple(cells)


def test_a_run_with_and_without_its_flags(folder):
    run = read_run(folder)
    assert [sample.architecture for sample in run.sampled] == ARCHITECTURES and not run.notes
    assert run.kind == "search" and run.steps_per_epoch != run.steps_per_epoch  # nothing tells
    (folder / "config.json").write_text(json.dumps({"configuration": CONFIG}))
    (folder / "metrics.jsonl").write_text("")
    (folder / "best_architecture.txt").write_text(f"{ARCHITECTURES[1]}\n")
    (folder / "architectures.jsonl").write_text("".join(json.dumps(
        {"epoch": 0, "architecture": str(architecture), "exact_match": 0.5}) + "\n"
        for architecture in ARCHITECTURES))
    run = read_run(folder)
    assert [sample.architecture for sample in run.sampled] == ARCHITECTURES and not run.notes
    assert run.best == ARCHITECTURES[1] and run.best_exact_match == 0.5
    (folder / "config.json").write_text(json.dumps(
        {"configuration": {**CONFIG, "child_fixed_arc": str(ARCHITECTURES[2])}}))
    assert read_run(folder).fixed == ARCHITECTURES[2]


def test_a_ranking_of_cells(tmp_path):
    candidates = tuple(Candidate(rank, str(architecture), 0.5, None, 10, 20, 1, False)
                       for rank, architecture in enumerate(ARCHITECTURES, start=1))
    written = Ranking(3, "moving", "controller", 9, candidates, num_cells=4)
    ranking.save(tmp_path / ranking.FILE, written)
    read = ranking.load(tmp_path / ranking.FILE)
    assert read == written and read.space == MicroSpace(4)
    assert read.architecture_of(read.architectures[0]) == ARCHITECTURES[0]
    ranking.save(tmp_path / ranking.FILE, Ranking(3, "moving", "controller", 9, candidates))
    with pytest.raises(RankingError, match="layers"):
        ranking.load(tmp_path / ranking.FILE)
    assert math.isnan(read_run_best(tmp_path))


def read_run_best(folder):
    (folder / "stdout").write_text("nothing\n")
    return read_run(folder).best_exact_match
