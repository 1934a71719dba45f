"""The best architectures trained by several processes: claims, and real tiny trainings."""

import json
import os
import signal
import sys
import time

import pytest
import tiny_run
from warm_process import WarmProcess

from AEROBI.commands import train_best
from AEROBI.records import ranking
from AEROBI.records.ranking import Candidate, Ranking

ARCS = ("5 5 0", "4 4 1")
EPOCHS = 15  # five steps each: the kill comes long before the end


@pytest.fixture
def search(tmp_path):
    folder = tmp_path / "search"
    folder.mkdir()
    ranking.save(folder / ranking.FILE, Ranking(2, "moving", "controller", 20, tuple(
        Candidate(i + 1, arc, 0.5 - 0.1 * i, None, 100, 1000, 1, i == 0)
        for i, arc in enumerate(ARCS))))
    return folder


def start(search, output, words, **options) -> WarmProcess:
    return WarmProcess("AEROBI.commands.train_best", [
        str(search), "--best=2", f"--output={output}", "--", *words], tiny_run.environment(),
        **options)


def final_words(data, tmp_path, epochs: int) -> list[str]:
    flags = {**tiny_run.SHALLOW_FINAL, "data_path": data, "cache_dir": tmp_path / "cache",
             "num_epochs": epochs, "checkpoint_secs": 0.1}
    del flags["child_fixed_arc"]
    return tiny_run.words(flags)


def test_two_processes_share_the_work(search, tiny_data, tmp_path):
    """One of them is killed with its training: the other takes that over, where it was."""
    output, words = tmp_path / "finals", final_words(tiny_data, tmp_path, EPOCHS)
    first, second = [start(search, output, words, start_new_session=True) for _ in range(2)]
    log = output / "rank_1" / "stdout"
    tiny_run.wait_for(log, r"ch_step=12 ", first)
    owner = json.loads((output / "rank_1.claim").read_text())["pid"]
    killed, other = (first, second) if owner == first.pid else (second, first)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    stdout, _ = other.communicate(timeout=240)
    assert other.returncode == 0, stdout
    assert "Rank 1 is being trained by another process" in stdout and "Resuming after" in stdout
    assert "Traceback" not in stdout
    again = start(search, output, words)
    assert again.wait(240) == 0, again.stdout.read()
    results = json.loads((output / "results.json").read_text())
    assert {result["architecture"] for result in results} == set(ARCS)
    values = [result["val_exact_match"] for result in results]
    assert values == sorted(values, reverse=True)
    assert all(arc in (output / "results.txt").read_text() for arc in ARCS)
    lines = [json.loads(line) for line in (output / "rank_1" / "metrics.jsonl").open()]
    steps = [record["step"] for record in lines if record["kind"] == "child"]
    assert steps == list(range(1, 5 * EPOCHS + 1))


def test_a_signal_leaves_a_checkpoint(search, tiny_data, tmp_path):
    output = tmp_path / "finals"
    process = start(search, output, final_words(tiny_data, tmp_path, 1000))
    tiny_run.wait_for(output / "rank_1" / "stdout", r"ch_step=3 ", process)
    process.send_signal(signal.SIGTERM)
    stdout, _ = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, stdout
    assert "checkpoint written" in stdout and "Traceback" not in stdout
    assert not (output / "rank_1.done.json").exists()


@pytest.mark.parametrize("words, part", [
    (["--output_dir=x"], "--output_dir"), (["--child_fixed_arc=1"], "--child_fixed_arc"),
    (["--reset_output_dir"], "--reset_output_dir")])
def test_what_is_set_for_each_cannot_be_given(words, part, search, tmp_path, capsys):
    assert train_best.main([str(search), f"--output={tmp_path / 'o'}", "--", *words]) == 2
    assert part in capsys.readouterr().err


def test_a_command_that_cannot_run_ends_the_work(search, tmp_path):
    began = time.monotonic()
    output = tmp_path / "o"
    status = train_best.main([str(search), f"--output={output}", "--", "--no_such_flag"])
    assert status == 2 and not (output / "rank_2.claim").exists(), time.monotonic() - began


def test_results_of_another_search_are_not_mixed(search, tmp_path, capsys):
    output = tmp_path / "o"
    output.mkdir()
    (output / "rank_1.done.json").write_text(json.dumps({"architecture": "0 0 0"}))
    assert train_best.main([str(search), f"--output={output}", "--", "true"]) == 2
    assert "another search" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "[]", "1", '{"rank": 1}', "[" * 100000])
def test_a_result_that_is_none_is_named(content, search, tmp_path, capsys):
    output = tmp_path / "finals"
    output.mkdir()
    (output / "rank_1.done.json").write_text(content)
    assert train_best.main([str(search), "--best=2", f"--output={output}", "--", "--x"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("Error: ") and "rank_1.done.json: holds no result" in error


def test_no_ranking(tmp_path, capsys):
    assert train_best.main([str(tmp_path), f"--output={tmp_path / 'o'}"]) == 2
    assert "architectures.json" in capsys.readouterr().err


def test_a_closed_console_is_no_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    monkeypatch.setattr(sys, "stdout", None)
    assert train_best.main([str(tmp_path), "--output", str(tmp_path / "x"), "--", "true"]) == 2
