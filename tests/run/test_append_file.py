"""Files that only grow."""

import subprocess
import sys

import tiny_run

from AEROBI.run.append_file import AppendFile


def test_the_lock_outlives_what_a_start_cuts(tmp_path):
    """Closing another descriptor of the file must not give the lock up."""
    file = AppendFile(tmp_path / "log")
    file.write("earlier\n")
    assert file.lock()
    file.cut(0, file.size())
    again = ("import pathlib, sys; from AEROBI.run.append_file import AppendFile; "
             "sys.exit(AppendFile(pathlib.Path(sys.argv[1])).lock())")
    done = subprocess.run([sys.executable, "-c", again, str(tmp_path / "log")],
                          env=tiny_run.environment(), timeout=60, check=False)
    assert done.returncode == 0
    file.close()
