"""architectures.json and its table."""

import dataclasses
import json

import pytest

from AEROBI.records import ranking
from AEROBI.records.ranking import Candidate, Ranking, RankingError

CANDIDATES = (Candidate(1, "0 1 1 2 0 1", 0.625, 0.5, 1234, 56789, 3, False),
              Candidate(2, "3 4 0 5 1 1", 0.5, None, 99, 100, 0, True))
RANKING = Ranking(3, "recalibrated", "controller", 616, CANDIDATES)


def test_what_is_saved_is_loaded(tmp_path):
    ranking.save(tmp_path / "a.json", RANKING)
    assert ranking.load(tmp_path / "a.json") == RANKING
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["architectures"][0]["architecture"] == CANDIDATES[0].architecture


@pytest.mark.parametrize("change", [
    {"format": "something else"}, {"architectures": []}, {"architectures": [{"rank": 1}]},
    {"architectures": 7}, {"surplus": 1}, {"num_layers": 2}, {"num_layers": "three"}])
def test_another_file_is_refused(tmp_path, change):
    path = tmp_path / "a.json"
    ranking.save(path, RANKING)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(RankingError, match=r"a\.json"):
        ranking.load(path)


def test_the_table_has_a_line_for_each():
    lines = ranking.table(CANDIDATES).splitlines()
    assert len(lines) == 3
    assert "0.6250" in lines[1] and "1,234" in lines[1] and lines[1].endswith("0 1 1 2 0 1")
    assert lines[2].endswith("3 4 0 5 1 1 (most likely)") and " - " in lines[2]
    assert " pm " in lines[1] and " pm " in lines[2]  # better, and smaller


def test_real_trainings_are_kept_with_it(tmp_path):
    trained = ranking.Trained(2, 4, 0.75, None, ((2, 0.5), (4, 0.75)), "candidate_02")
    halved = dataclasses.replace(
        RANKING, architectures=(dataclasses.replace(CANDIDATES[0], trained=trained),
                                CANDIDATES[1]),
        halving=ranking.Halving("h", "exact_match", 2, (2, 4), 8, 1.5))
    ranking.save(tmp_path / "a.json", halved)
    assert ranking.load(tmp_path / "a.json") == halved
    record = json.loads((tmp_path / "a.json").read_text())
    assert "trained" not in record["architectures"][1]
    lines = ranking.trained_table(halved.architectures).splitlines()
    assert len(lines) == 2 and "0.7500" in lines[1] and "candidate_02" in lines[1]


def test_a_ranking_without_trainings_is_as_it_was(tmp_path):
    """Files of earlier versions are read, and theirs are still what is written."""
    ranking.save(tmp_path / "a.json", RANKING)
    record = json.loads((tmp_path / "a.json").read_text())
    del record["ranked_by"]
    assert set(record) == {"format", "num_layers", "bn", "policy", "images", "architectures"}
    (tmp_path / "a.json").write_text(json.dumps(record))
    assert ranking.load(tmp_path / "a.json") == RANKING
