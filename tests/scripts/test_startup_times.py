"""scripts/studies/bench/startup.py: what a process takes, by the clock and of the processor."""

import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts/studies"))

from bench import startup  # noqa: E402
from bench.own_process import WorkerError  # noqa: E402


def test_sleep_is_time_and_work_is_cpu_time_as_well():
    work = "import time\nwhile time.process_time() < 0.4: pass"
    spent = startup._medians({"sleep": ["-c", "import time; time.sleep(0.4)"],
                              "work": ["-c", work]})
    assert min(spent["sleep"].wall, spent["work"].wall) >= 0.4
    assert spent["work"].cpu >= 0.4 > spent["sleep"].cpu


def test_a_process_that_fails_is_an_error_with_its_last_words():
    with pytest.raises(WorkerError, match="no such word"):
        startup._finished(["-c", "raise SystemExit('no such word')"])
