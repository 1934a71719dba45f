"""What --child_fixed_arc may name."""

import pytest

from AEROBI.architecture import Architecture
from AEROBI.config import ConfigError
from AEROBI.flags.fixed_arc import read_fixed_arc
from AEROBI.records.ranking import Candidate, Ranking, save
from AEROBI.search_space.spaces import MacroSpace

TEXTS = ("0 1 1 2 0 1", "3 4 0 5 1 1", "1 1 1 1 1 1")


@pytest.fixture
def search(tmp_path):
    """A folder with a ranking of TEXTS, and another architecture in best_architecture.txt."""
    folder = tmp_path / "a search#1"
    folder.mkdir()
    save(folder / "architectures.json", Ranking(3, "moving", "controller", 9, tuple(
        Candidate(rank, text, 0.5, None, 1, 1, 1, False)
        for rank, text in enumerate(TEXTS, start=1))))
    (folder / "best_architecture.txt").write_text("5 5 0 5 0 0\n")
    return folder


@pytest.mark.parametrize("form, expected", [
    ("{0}", 0), ("{0}#2", 1), ("{0}#best", 0), ("{0}/architectures.json", 0),
    ("{0}/architectures.json#3", 2), ("best", 0), ("#3", 2), ("#best", 0)])
def test_a_rank_of_a_search(search, form, expected):
    found = read_fixed_arc(form.format(search), MacroSpace(3), str(search))
    assert found == Architecture.parse(TEXTS[expected], 3)


def test_without_a_search_a_rank_is_one_of_the_presets_folder(search, monkeypatch, tmp_path):
    search.rename(tmp_path / "outputs")
    monkeypatch.chdir(tmp_path)
    assert str(read_fixed_arc("#2", MacroSpace(3))) == TEXTS[1]


def test_written_forms_and_files(search):
    assert str(read_fixed_arc(" 0 1\n1 2 0 1 ", MacroSpace(3))) == TEXTS[0]
    named = search / "best_architecture.txt"
    assert str(read_fixed_arc(str(named), MacroSpace(3))) == "5 5 0 5 0 0"
    (search / "architectures.json").unlink()
    assert str(read_fixed_arc(str(search), MacroSpace(3))) == "5 5 0 5 0 0"


@pytest.mark.parametrize("text, parts", [
    ("", ["0 numbers"]), ("0 1 1 x", ["layer 2", "'x'"]), ("no/such/file", ["no/such/file"]),
    ("{0}#4", ["ranks 1 to 3", "4"]), ("{0}#0", ["ranks 1 to 3"]), ("a\0b", ["neither"]),
    ("x" * 5000, ["neither"]), ("{0}/torn.json", ["torn.json", "no ranking"]),
    ("{0}/deep.json", ["no ranking"]), ("{0}/words.txt", ["words.txt", "layer 0"])])
def test_what_names_nothing_is_refused(search, text, parts):
    (search / "torn.json").write_text('{"format": "AEROBI arch')
    (search / "deep.json").write_text("[" * 100_000)
    (search / "words.txt").write_text("an architecture")
    with pytest.raises(ConfigError) as error:
        read_fixed_arc(text.format(search), MacroSpace(3), str(search))
    assert all(part in str(error.value) for part in ["--child_fixed_arc", *parts]), error.value
    assert len(str(error.value)) < 600


def test_an_architecture_of_other_layers_names_the_file(search):
    with pytest.raises(ConfigError, match=r"architectures\.json.*layer 3"):
        read_fixed_arc(str(search), MacroSpace(4))
