"""Work that is shared through a folder: claims of real processes, some of them killed."""

import json
import os
import pathlib
import subprocess
import sys

import pytest
import tiny_run

from AEROBI.run.claims import ClaimError, claim

HOLDER = ("import sys, time, pathlib\nfrom AEROBI.run.claims import claim\n"
          "held = claim(pathlib.Path(sys.argv[1]))\n"
          "print('held' if held else 'refused', flush=True)\ntime.sleep(100 if held else 0)\n")


def holder(path: pathlib.Path) -> subprocess.Popen:
    """A process that claims, says what came of it, and stays if it got it."""
    return subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], text=True,
                            stdout=subprocess.PIPE, env=tiny_run.environment())


def test_one_of_many_processes_gets_a_claim_and_a_killed_one_loses_it(tmp_path):
    path = tmp_path / "rank_1.claim"
    processes = [holder(path) for _ in range(6)]
    answers = [process.stdout.readline().strip() for process in processes]
    assert sorted(answers) == ["held"] + 5 * ["refused"]
    winner = processes[answers.index("held")]
    assert json.loads(path.read_text())["pid"] == winner.pid
    assert claim(path) is None
    winner.kill()
    winner.wait()
    with claim(path) as held:
        assert held is not None and json.loads(path.read_text())["pid"] == os.getpid()
    with claim(path, wait=True):
        assert claim(path) is None
    for process in processes:
        process.wait()


def test_a_claim_lasts_as_long_as_a_child_that_was_given_it(tmp_path):
    held = claim(tmp_path / "a")
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE,
                             pass_fds=[held.descriptor])
    held.release()
    assert claim(tmp_path / "a") is None
    child.communicate(b"\n")
    assert claim(tmp_path / "a") is not None


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(ClaimError, match="no/file"):
        claim(tmp_path / "no" / "file")


def test_a_link_is_no_claim_file(tmp_path):
    (tmp_path / "theirs").write_text("precious")
    (tmp_path / "a").symlink_to("theirs")
    with pytest.raises(ClaimError, match="a: cannot be claimed"):
        claim(tmp_path / "a")
    assert (tmp_path / "theirs").read_text() == "precious"
