"""The real program, tiny: what it writes, and how it refuses bad input."""

import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny_run

from AEROBI.architecture import Architecture
from AEROBI.config import ConfigError
from AEROBI.data_utils import CLASS_NAMES
from AEROBI.records import published_log
from AEROBI.search_space.spaces import MacroSpace

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def data(tiny_data):
    return tiny_data


@pytest.fixture(scope="module")
def searched(data, tmp_path_factory):
    """A finished search, by the path of main.py as the published scripts call it."""
    run_dir = tmp_path_factory.mktemp("search") / "run"
    flags = {**tiny_run.SEARCH, "data_path": data, "output_dir": run_dir, "cache_dir": run_dir
             .parent / "cache", "num_epochs": 2, "child_filter_size": 3}
    done = subprocess.run(
        [sys.executable, str(ROOT / "src/AEROBI/main.py"), *tiny_run.words(flags)],
        capture_output=True, text=True, timeout=180, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return run_dir, done.stdout, flags


def test_the_log_is_in_the_published_format(searched):
    run_dir, console, _ = searched
    text = (run_dir / "stdout").read_text()
    assert text in console  # the same lines in both
    parsed = published_log.parse(text.splitlines(), MacroSpace(tiny_run.LAYERS))
    assert len(parsed.architectures) == 2 * 10
    assert len(parsed.valid_accuracies) == len(parsed.test_accuracies) == 2
    assert len(parsed.child) == 2 * 5
    assert len(parsed.controller) == 2 * 12  # every sample, with log_every=1
    order = [r"\A-{80}$", r"^batch_size\.{69}8$", r"^search_for\.{66}None$", r"^-{80}$",
             r"^--child_filter_size has no effect", r"^split  images", r"^Model has \d+ params",
             r"^epoch=0 ", r"^Epoch 0: Training controller", r"^ctrl_step=0 ", r"^ctrl_step=3 ",
             r"^Here are 10 architectures", r"^\[\d\]$", r"^val_acc=", r"^-{80}$",
             r"^Epoch 0: Eval", r"^Eval at 5", r"^valid_accuracy: ", r"^Eval at 5",
             r"^test_accuracy: ", r"^Epoch 1: Training controller", r"^ctrl_step=4 ",
             r"^ctrl_step=7 ", r"^Epoch 1: Eval"]
    at = 0
    for pattern in order:
        found = re.compile(pattern, re.MULTILINE).search(text, at)
        assert found, pattern
        at = found.end() - 1


def test_a_random_policy_has_no_controller_phase(data, tmp_path):
    output = tiny_run.run({
        **tiny_run.SHALLOW_SEARCH, "data_path": data, "output_dir": tmp_path / "run",
        "num_epochs": 2, "cache_dir": tmp_path / "cache", "nocontroller_training": True})
    assert "Epoch 0: Eval" in output and "Epoch 1: Eval" in output
    for part in ("Training controller", "ctrl_step=", "Here are", "val_acc"):
        assert part not in output
    assert (tmp_path / "run/architectures.jsonl").read_text() == ""
    assert (tmp_path / "run/best_architecture.txt").read_text().split()


def test_records_are_json_lines(searched):
    run_dir, _, _ = searched
    metrics = [json.loads(line) for line in (run_dir / "metrics.jsonl").open()]
    kinds = [record["kind"] for record in metrics]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "child": 10, "controller": 24, "evaluation": 4}
    last = metrics[-1]
    assert last["split"] == "test" and last["images"] == tiny_run.SIZES.test
    assert set(last["labels"]) == set(CLASS_NAMES)
    for record in map(json.loads, (run_dir / "architectures.jsonl").open()):
        Architecture.parse(record["architecture"], tiny_run.LAYERS)
        assert 0 <= record["exact_match"] <= 1 and record["images"] == 8
    best = (run_dir / "best_architecture.txt").read_text()
    Architecture.parse(best, tiny_run.LAYERS)


def test_configuration_and_versions_are_kept(searched):
    run_dir, _, _ = searched
    config = json.loads((run_dir / "config.json").read_text())
    text = json.dumps(config)
    assert '"batch_size": 8' in text and '"data_format": "NHWC"' in text
    assert set(json.loads((run_dir / "versions.json").read_text())) >= {"Python", "TensorFlow"}


def test_events_for_tensorboard(searched):
    run_dir, _, _ = searched
    tags = set()
    for path in (run_dir / "events").iterdir():
        for event in tf.train.summary_iterator(str(path)):
            tags |= {value.tag for value in event.summary.value}
    assert tags >= {
        "child/loss", "child/learning_rate", "child/grad_norm", "child/exact_match",
        "controller/reward", "controller/baseline", "controller/entropy",
        "controller/skip_rate", "valid/exact_match", "test/exact_match"}


def test_a_different_configuration_is_refused_with_the_differences(searched):
    run_dir, _, flags = searched
    before = sorted(run_dir.rglob("*"))
    output = tiny_run.run({**flags, "batch_size": 4, "child_keep_prob": 0.9}, expect=2)
    assert "batch_size: 8" in output and "4" in output and "child_keep_prob" in output
    assert "Traceback" not in output
    assert sorted(run_dir.rglob("*")) == before


def test_a_final_training_reports_the_published_pair(data, tmp_path):
    flags = {**tiny_run.FINAL, "data_path": data, "output_dir": tmp_path / "run",
             "cache_dir": tmp_path / "cache", "num_epochs": 2,
             "reference_quirks": "random_eval,dense_separable"}
    output = tiny_run.run(flags)
    assert re.search(r"Best validation exact match 0\.\d{4} in epoch \d; test exact match there",
                     output)
    assert re.search(r"Training 3 5 1 0 1 1: \d+ parameters", output)
    assert "Here are 10" not in output
    # Whole batches from an endless queue: ceil(12 / 8) * 8 images instead of 12.
    last = json.loads((tmp_path / "run/metrics.jsonl").read_text().splitlines()[-1])
    assert last["split"] == "test" and last["images"] == 16


@pytest.mark.parametrize("change, parts", [
    ({"data_path": "/no/such/folder"}, ["/no/such/folder", "--data_path"]),
    ({"no_such_flag": 1}, ["no_such_flag"]),
    ({"child_keep_prob": 2}, ["--child_keep_prob"]),
])
def test_bad_input_is_one_line_before_any_work(change, parts, data, tmp_path):
    flags = {**tiny_run.SEARCH, "data_path": data, "output_dir": tmp_path / "run", **change}
    output = tiny_run.run(flags, expect=2)
    assert all(part in output for part in parts), output
    assert "Traceback" not in output and len(output.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_network_that_cannot_fit_is_refused_with_its_size(data, tmp_path):
    flags = {**tiny_run.SEARCH, "data_path": data, "output_dir": tmp_path / "run",
             "child_out_filters": 4096, "child_num_layers": 64, "img_size": 4096}
    output = tiny_run.run(flags, expect=2)
    assert re.search(r"Error: .* needs at least [\d,.]+ GiB .*--img_size", output)
    assert "Traceback" not in output and not (tmp_path / "run").exists()


def test_a_search_of_one_layer_runs(data, tmp_path):
    """Its architecture is one operation; no skip can be chosen."""
    run_dir = tmp_path / "run"
    tiny_run.run({**tiny_run.SEARCH, "data_path": data, "output_dir": run_dir,
                  "cache_dir": tmp_path / "cache", "child_num_layers": 1, "num_epochs": 1})
    assert re.fullmatch(r"[0-5]\n", (run_dir / "best_architecture.txt").read_text())


def test_a_folder_that_is_no_run_is_never_removed(data, tmp_path):
    precious = tmp_path / "thesis"
    precious.mkdir()
    (precious / "chapter.tex").write_text("years of work")
    output = tiny_run.run({**tiny_run.SHALLOW_SEARCH, "data_path": data, "output_dir": precious,
                           "reset_output_dir": True}, expect=2)
    assert str(precious) in output and "Traceback" not in output
    assert (precious / "chapter.tex").read_text() == "years of work"


def test_help():
    done = subprocess.run([sys.executable, "-m", "AEROBI.main", "--help"], capture_output=True,
                          text=True, env=tiny_run.environment(), timeout=60, check=True)
    assert "--child_fixed_arc" in done.stdout and not done.stderr


def test_seeds_differ_by_purpose_and_counter():
    from AEROBI.seeds import seed_pair
    seeds = [tuple(seed_pair(0, purpose, k)) for purpose in ("a", "b") for k in range(50)]
    assert len(set(seeds)) == 100
    np.testing.assert_array_equal(seed_pair(3, "a", 1), seed_pair(3, "a", 1))
    assert issubclass(ConfigError, ValueError)


def test_a_data_set_of_another_size_does_not_resume(data, tmp_path):
    """The counters of the checkpoint would mean other batches."""
    flags = {**tiny_run.SHALLOW_FINAL, "data_path": tmp_path / "set",
             "output_dir": tmp_path / "run",
             "cache_dir": tmp_path / "cache", "num_epochs": 1}
    shutil.copytree(data, tmp_path / "set")
    tiny_run.run(flags)
    next((tmp_path / "set/train/background").iterdir()).unlink()
    output = tiny_run.run(flags, expect=2)
    assert "the data set had [40, 20, 12]" in output and "[39, 20, 12]" in output
    assert "Traceback" not in output


def test_ctrl_c_before_the_first_step_is_one_line(data, tmp_path):
    flags = {**tiny_run.SHALLOW_SEARCH, "data_path": data, "output_dir": tmp_path / "run",
             "cache_dir": tmp_path / "cache"}
    process = tiny_run.start(flags)
    tiny_run.wait_for(tmp_path / "run/stdout", "^split", process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGINT
    assert "Stopped" in output and "Traceback" not in output
