"""Our own processes import TensorFlow without Keras; a library import leaves it alone."""

import subprocess
import sys
import types

import tiny_run

from AEROBI.run.without_keras import without_keras


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", "import os, sys\n" + code], text=True, check=False,
                          capture_output=True, env=tiny_run.environment(), timeout=120)


def test_a_command_imports_tensorflow_without_keras():
    done = run("""
from AEROBI.run.held_stderr import run_quietly
def command():
    import tensorflow.compat.v1
    print([name for name in sys.modules if name.startswith("keras.")])
    return 0
run_quietly(command)""")
    assert done.stdout == "[]\n", done.stderr


def test_who_imports_the_package_is_not_kept_from_keras():
    done = run("""
class Finder:
    def find_spec(self, name, *_):
        if name == "keras":
            os._exit(7)  # looked for
sys.meta_path.insert(0, Finder())
import AEROBI.experiment""")
    assert done.returncode == 7, done.stderr


def test_keras_that_was_there_stays(monkeypatch):
    keras = types.ModuleType("keras")
    monkeypatch.setitem(sys.modules, "keras", keras)
    with without_keras():
        assert sys.modules["keras"] is keras
    assert sys.modules["keras"] is keras


def test_nothing_is_left_behind(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras")
    with without_keras():
        assert sys.modules["keras"] is None
    assert "keras" not in sys.modules
