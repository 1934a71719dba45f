"""The soak, short: that it measures, and that it would tell of a leak."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

SCRIPTS = pathlib.Path(__file__).parents[2] / "scripts/studies"
sys.path.insert(0, str(SCRIPTS))
from soak import Sample, growth, look  # noqa: E402


@pytest.mark.long
@pytest.mark.skipif(not pathlib.Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_it_measures():
    done = subprocess.run(
        [sys.executable, SCRIPTS / "soak.py", "--steps=20", "--interval=10", "--allowed=1000"],
        capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode in (0, 1), done.stderr  # so short a run is still warming up
    rows = [list(map(float, line.split())) for line in done.stdout.splitlines()
            if re.fullmatch(r"[\d. ]+", line)]
    assert rows and rows[0][0] in (10, 20)  # a busy machine may miss the first line
    assert all(memory > 50 and files > 3 and threads > 1 for _, memory, files, threads in rows)
    assert re.search(r"growth over \d+ steps: .* MB, .* open files, .* threads", done.stdout)


@pytest.mark.skipif(not pathlib.Path("/proc/self/fd").is_dir(), reason="needs /proc")
def test_an_open_file_is_counted(tmp_path):
    before = look(os.getpid(), 0)
    with (tmp_path / "x").open("w"):
        assert look(os.getpid(), 0).files == before.files + 1


@pytest.mark.parametrize("leak", [(0, 0, 0), (0.5, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_growth(leak):
    samples = [Sample(100 * i, 300 + leak[0] * i + 80 * (i < 3), 10 + leak[1] * i,
                      20 + leak[2] * i) for i in range(20)]
    samples[17] = samples[17]._replace(files=99)  # a checkpoint was being written
    grown = growth(samples)
    assert (grown.megabytes > 0, grown.files > 0, grown.threads > 0) == tuple(map(bool, leak))
    assert grown.step == 1000
