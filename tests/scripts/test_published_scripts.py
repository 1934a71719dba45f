"""The published command line where Python has none of the packages."""

import os
import pathlib
import subprocess
import sys

SCRIPTS = pathlib.Path(__file__).parents[2] / "scripts"


def test_without_packages_one_line_says_what_to_install(tmp_path):
    (tmp_path / "scripts").mkdir()
    for name in ("cifar10_macro_search.sh", "AEROBI_macro_search.sh", "environment.sh"):
        path = tmp_path / "scripts" / name
        path.write_text((SCRIPTS / name).read_text())
        path.chmod(0o755)
    bare = tmp_path / "python3"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    script = tmp_path / "scripts/cifar10_macro_search.sh"
    done = subprocess.run(
        ["bash", str(script)], capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHON": ""})
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "pip install" in done.stderr
