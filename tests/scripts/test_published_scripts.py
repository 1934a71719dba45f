"""The published command line: which Python runs it, and what is said where none can."""

import os
import pathlib
import subprocess
import sys

import pytest

SCRIPTS = pathlib.Path(__file__).parents[2] / "scripts"


PUBLISHED = ("cifar10_macro_search.sh", "AEROBI_macro_search.sh", "AEROBI_macro_final.sh")


def checkout(folder: pathlib.Path) -> dict[str, str]:
    """The scripts alone, below a folder; the environment where python3 has no packages."""
    (folder / "scripts").mkdir()
    for name in (*PUBLISHED, "environment.sh"):
        executable(folder / "scripts" / name, (SCRIPTS / name).read_text())
    executable(folder / "python3", f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "PYTHON": ""}


def executable(path: pathlib.Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def call(folder: pathlib.Path, script: str, environment: dict[str, str], *words: str):
    return subprocess.run(
        ["bash", str(folder / "scripts" / script), *words], capture_output=True, text=True,
        timeout=120, check=False, env=environment)


@pytest.mark.parametrize("script", PUBLISHED)
def test_an_environment_that_quickstart_made_is_used(tmp_path, script):
    """.venv's Python runs, though python3 comes first on the path, unless PYTHON names another."""
    environment = checkout(tmp_path)
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name in (".venv/bin/python", "other"):  # the packages of this one, and a trace
        executable(tmp_path / name, f'#!/bin/sh\necho "{name}" >> "{tmp_path}/used"\n'
                   f'exec "{sys.executable}" "$@"\n')
    environment["PYTHONPATH"] = str(SCRIPTS.parent / "src")
    for python, used in (("", ".venv/bin/python"), (str(tmp_path / "other"), "other")):
        (tmp_path / "used").write_text("")
        done = call(tmp_path, script, {**environment, "PYTHON": python}, "--help")
        assert done.returncode == 0, done.stderr
        assert "data_path" in done.stdout
        assert set((tmp_path / "used").read_text().split()) == {used}


def test_without_packages_one_line_says_what_to_install(tmp_path):
    done = call(tmp_path, "cifar10_macro_search.sh", checkout(tmp_path))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and "pip install" in done.stderr
