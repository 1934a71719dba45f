"""The search against chance: its arithmetic, its table, and the whole of it, tiny."""

import os
import pathlib
import subprocess
import sys

import pytest
import tiny_run

SCRIPTS = pathlib.Path(__file__).parents[2] / "scripts/studies"
sys.path.insert(0, str(SCRIPTS))
from method_comparison import METHODS, Outcome, affordable_halving, table  # noqa: E402

from AEROBI.selection.schedule import Schedule, make_schedule  # noqa: E402


def test_halving_within_a_budget():
    schedule = make_schedule(8, 40, 2, None, 1)
    epochs = schedule.lengths  # of a second each
    assert affordable_halving(100, schedule, epochs) == 8  # exactly 8 * 5 + 4 * 5 + 2 * 10 + 20
    assert affordable_halving(99, schedule, epochs) == 7
    assert affordable_halving(1, schedule, epochs) == 1
    annealed = Schedule((3, 12), 4, annealed=True)
    assert affordable_halving(24 * 8 + 6 * 20, annealed, (8, 20)) == 24
    assert affordable_halving(24 * 8 + 6 * 20, annealed, (8, 20.1)) == 23


def test_the_table_has_means_and_errors():
    outcomes = [Outcome(method, seed, 2.0, 4, "0 1 1", 0.5 + seed / 10, 0.4)
                for seed in (1, 3) for method in METHODS]
    lines = table(outcomes).splitlines()
    assert len(lines) == 1 + 6 + 2 + 3
    assert lines[1].split()[:3] == ["search", "1", "2.00"]
    assert "0.7000 ± 0.1000" in lines[-1] and "0.4000 ± 0.0000" in lines[-1]


@pytest.mark.long
def test_all_three_end_in_the_table_and_nothing_is_run_twice(tiny_data, tmp_path):
    size = {name: value for name, value in tiny_run.SEARCH.items()
            if not name.startswith("controller")
            and name not in ("num_epochs", "child_lr_T_0", "seed")}
    command = [
        sys.executable, str(SCRIPTS / "method_comparison.py"), f"--output={tmp_path / 'study'}",
        "--seeds", "1", "2", "--cores", *map(str, sorted(os.sched_getaffinity(0))[:2]),
        "--train=2", "--select=--samples=4", "--final=--num_epochs=2", "--rungs=1,2",
        "--search=--num_epochs=2 --child_alone_epochs=1 --controller_train_every=1 "
        "--controller_train_steps=1 --controller_num_aggregate=2", "--",
        *tiny_run.words({**size, "data_path": tiny_data, "cache_dir": tmp_path / "cache"})]
    tables = [subprocess.run(command, capture_output=True, text=True, check=True, timeout=900,
                             env=tiny_run.environment()).stdout for _ in range(2)]
    assert tables[0] == tables[1] == (tmp_path / "study" / "table.txt").read_text()
    assert len(tables[0].splitlines()) == 1 + 6 + 2 + 3
    assert (tmp_path / "study" / "seed_1" / "random" / "halving" / "candidate_01").is_dir()
    assert len(list((tmp_path / "study" / "pilot" / "halving").glob("*.rung_2.json"))) == 4
