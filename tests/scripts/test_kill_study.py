"""The study with a kill or two, and that it would find what it looks for."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
import tensorflow.compat.v1 as tf

SCRIPTS = pathlib.Path(__file__).parents[2] / "scripts/studies"
sys.path.insert(0, str(SCRIPTS))
import kill_evidence  # noqa: E402
import kill_study  # noqa: E402
import soak  # noqa: E402

from AEROBI.flags import presets, table  # noqa: E402
from AEROBI.run.whole_files import new_folder  # noqa: E402


@pytest.mark.parametrize("what, kills", [
    pytest.param("final", 2, marks=pytest.mark.long),
    pytest.param("export", 2, marks=pytest.mark.long), ("pack", 1)])
def test_kills_lose_nothing(what, kills):
    done = subprocess.run(
        [sys.executable, SCRIPTS / "kill_study.py", f"--kills={kills}", "--epochs=2",
         f"--only={what}"], capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"(\d+) kills of \d, 0 with a fault; \d+ runs finished, 0 different",
                      done.stdout)
    assert found and int(found[1]) >= (what != "pack"), done.stdout


@pytest.mark.parametrize("flags", [
    [*kill_study.RUN, *kill_study.KINDS["search"]], [*kill_study.RUN, *kill_study.KINDS["alone"]],
    soak.SEARCH])
def test_the_controller_is_trained_from_the_first_epoch(flags):
    """Whatever the recipe does: else no kill meets it, and its first use looks like a leak."""
    values = table.parse(presets.words("search", [*flags, "--data_path=d", "--output_dir=o"]))
    assert (values["controller_warmup_epochs"], values["controller_train_every"]) == (0, 1)


def test_what_is_being_written_is_noticed(tmp_path):
    with new_folder(tmp_path / "export_1"):
        assert kill_study.being_written(tmp_path / "export_1")
        assert not kill_study.being_written(tmp_path / "export_2")
    assert not kill_study.being_written(tmp_path / "export_1")


@pytest.fixture
def run(tiny_final, tmp_path):
    """A copy of a finished run."""
    return pathlib.Path(shutil.copytree(tiny_final, tmp_path / "run"))


def test_a_torn_and_a_doubled_line_are_found(run):
    assert kill_evidence.torn_lines(run) == []
    path = run / "metrics.jsonl"
    whole = path.read_text()
    path.write_text(whole[:-5])
    assert kill_evidence.torn_lines(run) == ["metrics.jsonl: torn at its end"]
    path.write_text(whole.replace("}\n{", "{", 1))
    assert kill_evidence.torn_lines(run) == ["metrics.jsonl: torn"]
    path.write_text(whole + whole.splitlines()[-1] + "\n")
    assert kill_evidence.torn_lines(run) == ["metrics.jsonl: doubled"]


def test_the_last_finished_checkpoint(run):
    steps = [json.loads(line).get("step") for line in (run / "metrics.jsonl").open()][-1]
    assert kill_evidence.counters_of(run) == f"{steps} + 0"
    number = kill_evidence.finished(run)[0]
    assert kill_evidence.unfinished(run) == []
    (run / "checkpoints" / f"checkpoint-{number + 1}.json").write_text("{")
    assert kill_evidence.unfinished(run) == [f"checkpoint-{number + 1}.json"]
    assert kill_evidence.state_of(run) == "in a checkpoint"


def test_differences_are_found(run, tiny_final):
    assert kill_evidence.differences(tiny_final, run) == []
    number, reader = kill_evidence.finished(run)[0], tf.train.load_checkpoint(
        str(run / "checkpoints"))
    for name in reader.get_variable_to_shape_map():
        value = reader.get_tensor(name)
        tf.get_variable(name, initializer=value + (1e-6 if name == "child/fc/w" else 0))
    saver = tf.train.Saver()
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        saver.save(session, str(run / "checkpoints" / "checkpoint"), number)
    (run / "metrics.jsonl").write_text("")
    assert kill_evidence.differences(tiny_final, run) == ["child/fc/w", "metrics.jsonl"]
