"""Shared fixtures: a fresh static graph per test, the golden numbers."""
# ruff: noqa: E402

import json
import pathlib
import shutil
import signal
import sys
from collections.abc import Callable

sys.modules.setdefault("keras", None)  # as in a process of ours (`run.without_keras`)

import AEROBI  # noqa: F401  (before TensorFlow: it chooses the CPU kernels)

# isort: split
import numpy as np
import pytest
import tensorflow.compat.v1 as tf

from AEROBI.run.file_lock import lock_file
from AEROBI.tf_setup import session_config

HERE = pathlib.Path(__file__).parent
GOLDEN = HERE / "golden"
BEGIN_FIRST = {"test_kills.py", "test_micro_runs.py", "test_outcome.py", "test_resume.py"}
sys.path[:0] = [str(HERE), str(HERE / "helpers")]  # what tests share: `import tiny_run`

import tiny_run


@pytest.fixture(autouse=True)
def graph():
    """Every test builds into a graph of its own."""
    with tf.Graph().as_default() as fresh:
        yield fresh


@pytest.fixture
def golden():
    """`golden(name)`: the arrays of a golden file as a dict; `golden.variables(name)`: its JSON."""
    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(GOLDEN / f"{name}.npz") as arrays:
            return dict(arrays)
    load.variables = lambda name: json.loads((GOLDEN / f"{name}.json").read_text())
    return load


@pytest.fixture
def session(graph):
    """`session(values)`: a session with all variables initialised, then set to `values`."""
    opened = []

    def start(values: dict[str, np.ndarray] | None = None) -> tf.Session:
        variables = {v.op.name: v for v in tf.global_variables()}
        feeds = {name: tf.placeholder(v.dtype, v.shape) for name, v in variables.items()
                 if name in (values or {})}
        assign = [variables[name].assign(feed) for name, feed in feeds.items()]
        opened.append(tf.Session(config=session_config()))
        opened[-1].run(tf.global_variables_initializer())
        opened[-1].run(assign, {feeds[name]: values[name] for name in feeds})
        return opened[-1]

    yield start
    for tf_session in opened:
        tf_session.close()


def golden_values(arrays: dict[str, np.ndarray], prefix: str = "var/") -> dict[str, np.ndarray]:
    """The variables of a golden file by their names."""
    return {key[len(prefix):]: value for key, value in arrays.items() if key.startswith(prefix)}


def assert_close(actual, expected, relative: float = 1e-4) -> None:
    """Within `relative` of the largest expected value."""
    scale = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=relative * scale)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory, worker_id):
    """`made_once(name, make)`: a folder that `make(folder)` fills in one process, for all of them.

    Tests must not write into it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "shared"
    shared.mkdir(exist_ok=True)

    def folder_of(name: str, make: Callable[[pathlib.Path], None]) -> pathlib.Path:
        folder, made = shared / name, shared / f"{name}.made"
        with open(shared / f"{name}.lock", "w") as lock:
            lock_file(lock, wait=True)
            if not made.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a process that failed
                folder.mkdir()
                make(folder)
                made.touch()
        return folder
    return folder_of


@pytest.fixture(scope="session")
def tiny_data(made_once):
    """The embedded data set, very small."""
    return made_once("data", lambda folder: tiny_run.make_data(folder / "set")) / "set"


@pytest.fixture(scope="session")
def tiny_search(tiny_data, made_once):
    """The directory of a finished search; tests must not write into it."""
    return made_once("search", lambda folder: tiny_run.run(
        {**tiny_run.SEARCH, "data_path": tiny_data, "output_dir": folder / "run",
         "cache_dir": folder / "cache", "num_epochs": 2})) / "run"


@pytest.fixture(scope="session")
def alone_search(tiny_data, made_once):
    """Likewise of one whose architectures share no weights."""
    return made_once("alone_search", lambda folder: tiny_run.run(
        {**tiny_run.ALONE_SEARCH, "data_path": tiny_data, "output_dir": folder / "run",
         "cache_dir": folder / "cache", "deterministic": True})) / "run"


@pytest.fixture(scope="session")
def tiny_final(tiny_data, made_once):
    """The directory of a finished final training; tests must not write into it."""
    return made_once("final", lambda folder: tiny_run.run(
        {**tiny_run.FINAL, "data_path": tiny_data, "output_dir": folder / "run",
         "cache_dir": folder / "cache"})) / "run"


def pytest_addoption(parser):
    """Tests that start and kill whole clusters take minutes; they are run when asked for."""
    parser.addoption("--long", action="store_true", help="run the tests marked long as well")


def pytest_configure(config):
    """The marker of those tests; and Ctrl-C as usual, which a background job is born without."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # the children would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "long: takes minutes; needs --long")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """What a test wrote goes from process to process as UTF-8, which has no lone surrogates."""
    report = (yield).get_result()
    report.sections = [(title, text.encode("utf-8", "backslashreplace").decode())
                       for title, text in report.sections]


def pytest_terminal_summary(terminalreporter):
    """How many inputs the fuzz tests tried, by test."""
    inputs = sys.modules["fuzzing"].INPUTS if "fuzzing" in sys.modules else {}
    if inputs:
        terminalreporter.section("inputs of the fuzz tests")
        for name, count in sorted(inputs.items()):
            terminalreporter.write_line(f"{count:7,d}  {name}")
        terminalreporter.write_line(f"{sum(inputs.values()):7,d}  in all")


def pytest_collection_modifyitems(config, items):
    """Skips them otherwise; and all would wait for a test of many seconds that begins last."""
    items.sort(key=lambda item: item.path.name not in BEGIN_FIRST)
    if not config.getoption("--long"):
        skip = pytest.mark.skip(reason="takes minutes: --long")
        for item in items:
            if "long" in item.keywords:
                item.add_marker(skip)
