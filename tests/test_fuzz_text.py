"""Text from anywhere: architectures, logs, command lines. One line of error, or a result."""

import contextlib
import io
import json
import logging

import pytest
from fuzzing import INPUTS, NASTY, examples
from hypothesis import example, given
from hypothesis import strategies as st
from report_runs import write_search

from AEROBI import cli, main
from AEROBI.architecture import Architecture, ArchitectureError
from AEROBI.cluster.description import read_cluster
from AEROBI.config import ConfigError
from AEROBI.flags import table
from AEROBI.flags.fixed_arc import read_fixed_arc
from AEROBI.flags.resolve import resolve
from AEROBI.records.log_extract import ARCHITECTURES_FILE, TEST_FILE, VALID_FILE, extract
from AEROBI.records.published_log import LogError
from AEROBI.report import page as report
from AEROBI.search_space.spaces import MacroSpace

WRITTEN = {ARCHITECTURES_FILE, VALID_FILE, TEST_FILE}


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    """The current folder; what lies beside it must stay as it is."""
    folder = tmp_path / "here"
    folder.mkdir()
    (tmp_path / "beside.txt").write_text("mine")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    yield folder
    assert sorted(path.name for path in tmp_path.iterdir()) == ["beside.txt", "here"]
    assert (tmp_path / "beside.txt").read_text() == "mine"


def assert_short(error):
    text = str(error)
    assert text.strip() and len(text) < 2000, text[:300]


# --- architectures ---------------------------------------------------------------------

NUMBERS = st.lists(st.one_of(st.integers(-2, 7).map(str), NASTY), max_size=12).map(" ".join)
STRINGS = st.one_of(NUMBERS, NASTY, st.text(max_size=30))


@examples(300)
@given(STRINGS, st.integers(1, 8))
def test_architectures(text, layers):
    try:
        architecture = Architecture.parse(text, layers)
    except ArchitectureError as error:
        assert_short(error)
    else:
        assert Architecture.parse(str(architecture), layers) == architecture


@examples(200)
@given(STRINGS, STRINGS)
def test_fixed_architectures_and_references(sandbox, text, search):
    try:
        read_fixed_arc(text, MacroSpace(3), search)
    except ConfigError as error:
        assert_short(error)
    assert not list(sandbox.iterdir())


# --- logs ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def log_lines(tmp_path_factory):
    folder = tmp_path_factory.mktemp("log") / "run"
    write_search(folder)
    return (folder / "stdout").read_text().splitlines()


@st.composite
def logs(draw, lines):
    """Parts of a real log, repeated, torn, and with other things between them."""
    kept = draw(st.lists(st.one_of(
        st.integers(0, len(lines) - 1).flatmap(lambda i: st.integers(1, 9).map(
            lambda n: "\n".join(lines[i:i + n]))),
        st.sampled_from(lines).flatmap(lambda line: st.integers(0, len(line)).map(
            lambda n: line[:n])),
        NASTY, st.text(max_size=20),
        st.sampled_from(["[", "[1", "[1]", "1]", "[0 1]", "[" + "7" * 4400 + "]",
                         f"Epoch {'9' * 4400}: Eval", "val_acc=0.5000", "valid_accuracy: 0.5000",
                         "Epoch ٣: Eval", "[٣]"])), max_size=12))
    return draw(st.sampled_from(["\n", "\r\n", "\r"])).join(kept)


@examples(300)
@given(data=st.data(), layers=st.integers(1, 4))
def test_the_extractor(sandbox, log_lines, data, layers):
    text = data.draw(logs(log_lines))
    log, out = sandbox / "log", sandbox / "out"
    log.write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        extract(log, layers, out)
    except LogError as error:
        assert_short(error)
    assert {path.name for path in sandbox.iterdir()} <= {"log", "out"}
    assert not out.exists() or {path.name for path in out.iterdir()} <= WRITTEN


@examples(3, slow=True)
@given(data=st.data())
def test_the_report_of_a_log(sandbox, log_lines, data):
    run = sandbox / "run"
    run.mkdir(exist_ok=True)
    text = data.draw(logs(log_lines))
    (run / "stdout").write_bytes(text.encode("utf-8", "surrogatepass"))
    page = report.report(run).read_text()
    assert {path.name for path in run.iterdir()} == {"stdout", "report.html"}
    assert page.count("<script") == 1 and "\0" not in page


# --- command lines ---------------------------------------------------------------------

VALUES = st.one_of(NASTY, st.integers(-3, 10 ** 7).map(str), st.floats().map(str),
                   st.booleans().map(str), st.text(max_size=12),
                   st.sampled_from(["all", "macro", "late_binding", "a:1", "a:1,b:2", "worker"]))


def command_lines(names):
    word = st.one_of(
        st.tuples(st.sampled_from(names), VALUES).map(lambda pair: f"--{pair[0]}={pair[1]}"),
        st.sampled_from(names).flatmap(lambda name: st.sampled_from([f"--{name}", f"--no{name}"])),
        VALUES)
    good = st.sampled_from([[], ["--controller_search_whole_channels", "--data_path=nowhere",
                                 "--output_dir=out"]])
    return st.tuples(good, st.lists(word, max_size=4)).map(lambda parts: parts[0] + parts[1])


NAMES = [flag.name for flag in table.FLAGS]


@examples(250)
@given(command_lines(NAMES), st.one_of(st.just(""), NASTY, st.recursive(
    st.one_of(st.none(), st.integers(-2, 3), st.sampled_from(["ps", "worker", "chief", "a:1"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["cluster", "task", "ps", "worker", "chief", "type", "index"]), inner,
        max_size=4), max_leaves=12).map(json.dumps)))
@example(["--controller_search_whole_channels", "--data_path=x", "--output_dir=y"], "[1]")
@example(["--controller_search_whole_channels", "--data_path=x", "--output_dir=y"],
         '{"cluster": {"ps": ["a:99999"], "worker": ["b:1"]}, "task": {"index": 1e400}}')
def test_flags(sandbox, words, tf_config):
    try:
        values = table.parse(words)
        resolve(values, ["a", "b"], "NHWC")
        read_cluster(values, {"TF_CONFIG": tf_config})
    except ConfigError as error:
        assert str(error).strip()
    assert not list(sandbox.iterdir())


@examples(60)
@given(command_lines([flag.name for flag in table.FLAGS if flag not in table.CLUSTER]))
def test_main(sandbox, words):
    """There is no data set, so nothing can start."""
    status = main.main([*words, "--data_path=nowhere"])
    assert status in (0, 2)
    assert not list(sandbox.iterdir())


ASKED = {"search": ["--seed", "--data_path"], "final": ["--child_fixed_arc", "--data_path"],
         "pack": ["--img_size", "--data_path", "--cache_dir"],
         "select": ["--count", "--seed", "--output"], "export": ["--output", "--format"],
         "evaluate": ["--split", "--data_path"], "predict": ["--output", "--list", "--threshold"],
         "report": ["--output", "--curves", "--data_path"], "draw": ["--output", "--fps"],
         "sample-data": ["--train", "--seed", "--size"]}


@examples(60)
@given(st.sampled_from(sorted(cli.COMMANDS)).flatmap(lambda command: st.tuples(
    st.just(command), st.lists(st.one_of(
        st.sampled_from(ASKED.get(command, ["--help"])), VALUES.filter(
            lambda value: not value.startswith(("/", "~")) and ".." not in value)), max_size=4))))
@example(("select", [""]))
def test_commands(sandbox, parts):
    command, words = parts
    if command == "sample-data":
        words = [*words, "--output", "nowhere/\0"]  # it would paint thousands of images
    if command == "pack":
        words = [*words, "--data_path", "nowhere"]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            status = cli.main([command, *words])
        except SystemExit as exit_:  # argparse
            status = exit_.code
    assert status in (0, 1, 2), (status, output.getvalue()[-500:])
    assert "Traceback" not in output.getvalue()


def test_inputs_are_counted():
    @examples(5)
    @given(st.integers())
    def counted_here(_):
        pass

    counted_here()
    assert INPUTS.pop("counted_here") >= 5


@pytest.fixture(autouse=True)
def quiet():
    """`main` sets the log up; hundreds of error lines are for nobody."""
    handlers = list(logging.getLogger().handlers)
    yield
    logging.getLogger().handlers[:] = handlers
