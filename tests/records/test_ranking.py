"""architectures.json and its table."""

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
