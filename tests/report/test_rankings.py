"""The sections of a report on a ranking: fronts, and real trainings."""

import dataclasses
import re

import pytest
import report_runs

from AEROBI.records import ranking
from AEROBI.records.run_records import read_run
from AEROBI.report.charts import cost_front
from AEROBI.report.page import render

CANDIDATES = (
    ranking.Candidate(1, "0 1 1 4 0 1", 0.4, 0.5, 4000, 900, 2, False, ranking.Trained(
        2, 4, 0.81, 0.9, ((2, 0.5), (4, 0.81)), "candidate_02")),
    ranking.Candidate(2, "1 1 1 4 0 1", 0.5, 0.5, 5000, 800, 1, False, ranking.Trained(
        1, 2, 0.44, None, ((2, 0.44),), "candidate_01")),
    ranking.Candidate(3, "2 1 1 4 0 1", 0.3, None, 3000, 1000, 1, True))
HALVED = ranking.Ranking(3, "recalibrated", "controller", 616, CANDIDATES,
                         halving=ranking.Halving("h", "exact_match", 2, (2, 4), 8, 1.25))


@pytest.fixture
def search(tmp_path):
    report_runs.write_search(tmp_path / "search")
    return tmp_path / "search"


def section(page: str, name: str) -> str:
    found = re.search(rf'<section id="{name}">.*?</section>', page, re.DOTALL)
    return found[0] if found else ""


@pytest.mark.parametrize("costs, ticks", [
    ([3940, 8644], ["4.5 k", "6 k", "7.5 k"]), ([20_000, 40_000_000], ["100 k", "1 M", "10 M"]),
    ([7, 7], ["6.8", "7", "7.2"])])
def test_ticks_of_costs_are_plain_numbers(costs, ticks):
    texts = re.findall(r">([^<>\n]+)</text>", cost_front(costs, [0.1, 0.2], [True] * 2, "p", "m"))
    assert set(ticks) <= set(texts) and not any("$" in text for text in texts)
    assert texts.index("p") <= 5  # few enough to stand side by side


def test_fronts_and_trainings(search):
    ranking.save(search / ranking.FILE, HALVED)
    page = render(read_run(search))
    fronts, trained = section(page, "fronts"), section(page, "trained")
    assert "ranks 3, 1, 2" not in fronts and "ranks 1, 2, 3" in fronts  # against parameters
    assert "<small>ranks 2</small>" in fronts  # the best, at the fewest multiply-adds
    assert fronts.count("<svg") == 2 and trained.count("<svg") == 1
    assert "candidate_02" in trained and "0.810" in trained and "candidate_01" in trained
    assert trained.count("<tr>") == 1 + 2  # the third was not trained
    assert "2, 4 epochs of 8" in trained and "1.2 CPU minutes" in trained
    assert 'href="#trained"' in page and "trained for 4 epochs 0.810" in page


def test_without_trainings_there_is_no_section(search):
    report_runs.write_ranking(search)
    page = render(read_run(search))
    assert section(page, "fronts") and not section(page, "trained")


def test_failed_and_unscored_candidates_are_shown_as_such(search):
    """Random search has no shared weights; a training may have failed."""
    failed = dataclasses.replace(CANDIDATES[1], trained=ranking.Trained(
        1, 2, None, None, (), "candidate_01"))
    found = tuple(dataclasses.replace(candidate, exact_match=None)
                  for candidate in (CANDIDATES[0], failed, CANDIDATES[2]))
    ranking.save(search / ranking.FILE, dataclasses.replace(HALVED, architectures=found))
    page = render(read_run(search))
    assert not section(page, "fronts") and "\N{EN DASH}" in section(page, "trained")


@pytest.mark.parametrize("old, new", [('"rung": 2', '"rung": "x"'), ("0.81", '"y"'),
                                      ('"eta": 2', '"eta": []'), ('"curve": [', '"curve": [3, ')])
def test_damaged_trainings_become_a_note(old, new, search):
    ranking.save(search / ranking.FILE, HALVED)
    text = (search / ranking.FILE).read_text()
    assert old in text
    (search / ranking.FILE).write_text(text.replace(old, new, 1))
    page = render(read_run(search))
    assert "architectures.json is left out" in page or "\N{EN DASH}" in section(page, "trained")


def test_a_single_rung_is_no_halving(search):
    """Whole trainings, of which none is dropped."""
    found = tuple(dataclasses.replace(candidate, trained=candidate.trained and dataclasses.replace(
        candidate.trained, rung=1)) for candidate in CANDIDATES)
    ranking.save(search / ranking.FILE, dataclasses.replace(
        HALVED, architectures=found,
        halving=dataclasses.replace(HALVED.halving, rungs=(4,), measure="loss")))
    text = section(render(read_run(search)), "trained")
    assert "Each trained for 4 epochs. Ranked by loss" in text and "goes on" not in text


def test_a_search_without_shared_weights_says_what_it_scores_by(search):
    ranking.save(search / ranking.FILE, dataclasses.replace(HALVED, bn=""))
    page = render(read_run(search))
    assert "short trainings" in section(page, "fronts")
    assert "shared weights, with" not in page
