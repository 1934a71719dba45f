"""Final training, tiny: the best epoch kept, early stopping, the searched network."""

import json
import re
import shutil
import signal

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
import tiny_run
from conftest import assert_close

from AEROBI.architecture import Architecture
from AEROBI.config import ChildConfig, ConfigError
from AEROBI.data_utils import read_data_set
from AEROBI.general_child import fixed_search_child, search_child
from AEROBI.image_ops import LayerMode
from AEROBI.records import split_predictions
from AEROBI.scoring.metrics import evaluate
from AEROBI.selection.select import Draws, select
from AEROBI.shared_final_child import shared_names
from AEROBI.trained.classifier import open_classifier
from AEROBI.trained.model_source import find_trained_child
from AEROBI.trained.overrides import Overrides


def evaluations(run_dir) -> dict[str, dict[int, float]]:
    """Split -> epoch -> exact match, from the records."""
    found = {"val": {}, "test": {}}
    for record in map(json.loads, (run_dir / "metrics.jsonl").open()):
        if record["kind"] == "evaluation":
            found[record["split"]][record["epoch"]] = record["exact_match"]
    return found


def best_epoch(run_dir) -> int:
    return max(evaluations(run_dir)["val"], key=evaluations(run_dir)["val"].get)


def test_the_best_epoch_is_kept_with_what_it_said(tiny_final, tiny_data):
    best, exact = best_epoch(tiny_final), evaluations(tiny_final)
    log = (tiny_final / "stdout").read_text()
    assert (f"Best validation exact match {exact['val'][best]:.4f} in epoch {best}; "
            f"test exact match there {exact['test'][best]:.4f}") in log
    sidecar = json.loads(next((tiny_final / "best").glob("*.json")).read_text())
    assert sidecar["position"] == {"epoch": best, "exact_match": exact["val"][best]}
    data_set = read_data_set(str(tiny_data))
    for split, expected in exact.items():
        found = split_predictions.load(tiny_final / split_predictions.file_name(split))
        assert found.epoch == best and found.class_names == data_set.class_names
        measured = evaluate(found.logits, found.labels, found.class_names)
        assert measured.exact_match == expected[best]
        np.testing.assert_array_equal(found.labels, data_set.splits[split].labels)
        assert all((tiny_data / path).is_file() for path in found.paths)
        assert found.paths[0].startswith(f"{split}/")


def test_the_best_checkpoint_holds_the_child_alone(tiny_final):
    reader = tf.train.load_checkpoint(str(tiny_final / "best"))
    names = set(reader.get_variable_to_shape_map())
    assert "child/stem_conv/w" in names and "child/stem_conv/bn/moving_mean" in names
    assert not any("Momentum" in name for name in names)
    assert len(list((tiny_final / "best").glob("*.index"))) == 1


def test_what_was_best_is_in_the_checkpoint_and_not_in_a_record(tiny_data, tmp_path):
    flags = {**tiny_run.SHALLOW_FINAL, "data_path": tiny_data, "cache_dir": tmp_path / "cache",
             "output_dir": tmp_path / "run", "checkpoint_secs": 0}
    run_dir = flags["output_dir"]
    process = tiny_run.start(flags)
    tiny_run.wait_for(run_dir / "stdout", r"ch_step=7 ", process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    first = evaluations(run_dir)["val"][0]
    assert json.loads(next((run_dir / "best").glob("*.json")).read_text())["position"] == {
        "epoch": 0, "exact_match": first}
    text = (run_dir / "metrics.jsonl").read_text()
    changed = re.sub(r'"exact_match": [\d.]+', '"exact_match": 9.5', text)
    (run_dir / "metrics.jsonl").write_text(changed)
    tiny_run.run(flags)
    exact = {0: first, **{epoch: value for epoch, value in evaluations(run_dir)["val"].items()
                          if epoch}}
    best = max(exact, key=exact.get)
    sidecar = json.loads(next((run_dir / "best").glob("*.json")).read_text())
    assert sidecar["position"] == {"epoch": best, "exact_match": exact[best]}
    line = f"Best validation exact match {exact[best]:.4f} in epoch {best};"
    assert line in (run_dir / "stdout").read_text()
    for damage in (lambda file: file.write_text(""), lambda file: file.unlink()):
        damage(run_dir / "metrics.jsonl")
        (run_dir / "stdout").write_text("")
        assert line in tiny_run.run(flags)
    shutil.rmtree(run_dir / "best")
    with pytest.raises(ConfigError, match=r"best: holds no checkpoint.*--last"):
        find_trained_child(run_dir, Overrides())
    assert find_trained_child(run_dir, Overrides(last=True)).prefix.parent.name == "checkpoints"
    assert "best: is missing" in tiny_run.run(flags)


def test_early_stopping_waits_as_long_as_it_says(tiny_data, tmp_path):
    flags = {**tiny_run.SHALLOW_FINAL, "data_path": tiny_data, "output_dir": tmp_path / "run",
             "cache_dir": tmp_path / "cache", "num_epochs": 40, "early_stopping_epochs": 2,
             "child_lr_max": 1e-7, "child_lr_min": 1e-7}
    output = tiny_run.run(flags)
    best, last = best_epoch(tmp_path / "run"), max(evaluations(tmp_path / "run")["val"])
    assert last == best + 2 < 40
    assert (f"Stopped after {last + 1} epochs: validation has not become better since epoch "
            f"{best}") in output
    again = tiny_run.run(flags)  # a finished run stays finished
    assert max(evaluations(tmp_path / "run")["val"]) == last
    assert "Stopped after" in again


def test_the_searched_network_begins_with_the_shared_weights(tiny_data, tiny_search, tmp_path):
    """With a learning rate of nothing it stays what the search child was for this architecture."""
    text = "3 5 1 0 1 1"
    flags = {**tiny_run.FINAL, "data_path": tiny_data, "output_dir": tmp_path / "run",
             "cache_dir": tmp_path / "cache", "num_epochs": 1, "child_network": "search",
             "init_from": tiny_search, "child_fixed_arc": text, "child_lr_max": 1e-30,
             "child_lr_min": 1e-30}
    output = tiny_run.run(flags)
    assert "The first weights are the shared ones" in output
    shared, begun = tiny_run.weights(tiny_search), tiny_run.weights(tmp_path / "run")
    own = {name for name in begun if name.startswith("child/") and "Momentum" not in name}
    assert own < set(shared)
    assert any("layer_0/branch_3/" in name for name in own)
    assert not any("layer_0/branch_5/" in name for name in own)  # not on the path
    for name in own:
        if "moving" not in name:
            np.testing.assert_array_equal(begun[name], shared[name], name)


def test_what_was_searched_as_a_final_child_is_trained_on(tiny_data, tmp_path):
    """A search of final children, its selection, its use, and a training begun with its weights."""
    search, flags = tmp_path / "search", {"data_path": tiny_data, "cache_dir": tmp_path / "cache"}
    tiny_run.run({**tiny_run.SEARCH, **flags, "output_dir": search,
                  "child_network": "final", "num_epochs": 1})
    ranking = select(search, Draws(3, "controller"), "batch")
    text = ranking.architectures[0].architecture
    output = tiny_run.run({**tiny_run.FINAL, **flags, "output_dir": tmp_path / "run",
                           "num_epochs": 1, "init_from": search, "child_fixed_arc": text,
                           "child_lr_max": 1e-30, "child_lr_min": 1e-30})
    assert "The first weights are the shared ones" in output
    shared, begun = tiny_run.weights(search), tiny_run.weights(tmp_path / "run")
    architecture = Architecture.parse(text, 3)
    for name in begun:
        if name.startswith("child/") and "Momentum" not in name and "moving" not in name:
            parts = [shared[part] for part in shared_names(name, architecture)]
            np.testing.assert_allclose(  # a weight that is 0 shows the tiny rate
                begun[name], parts[0] if len(parts) == 1 else np.concatenate(parts, 2),
                rtol=0, atol=1e-25, err_msg=name)
    with open_classifier(search, Overrides(fixed_arc=text)) as classifier:
        assert classifier.probabilities(np.zeros((1, 16, 16, 3), np.uint8)).shape == (1, 6)


def test_shared_weights_of_the_other_structure_are_refused(tiny_data, tiny_search, tmp_path):
    output = tiny_run.run({
        **tiny_run.FINAL, "data_path": tiny_data, "output_dir": tmp_path / "run",
        "cache_dir": tmp_path / "cache", "init_from": tiny_search}, expect=2)
    assert "--child_network" in output and "Traceback" not in output


def test_a_fixed_path_is_the_search_child_under_that_architecture(golden, session):
    arrays = golden("search_child")
    arc = arrays["arcs"][3]
    config = ChildConfig(7, 8, 6, 6, keep_prob=1.0, fixed_arc=tuple(map(int, arc)),
                         network="search")
    images = tf.constant(arrays["images"])
    routed = [search_child(images, tf.constant(arc), config, LayerMode("NHWC", training, 0))
              for training in (False, True)]
    fixed = [fixed_search_child(images, config, LayerMode("NHWC", training, 0))
             for training in (False, True)]
    values = {name[4:]: value for name, value in arrays.items() if name.startswith("var/")}
    run = session(values)
    assert_close(run.run(fixed[0]), arrays["eval_logits"][3])
    for a, b in zip(routed, fixed):
        assert_close(run.run(b), run.run(a))


@pytest.mark.parametrize("change, part", [
    ({"init_from": "{tmp}"}, "holds no checkpoint"),
    ({"child_network": "other"}, "child_network"),
    ({"early_stopping_epochs": -1}, "early_stopping_epochs"),
])
def test_what_cannot_begin_is_refused(change, part, tiny_data, tmp_path):
    change = {name: str(value).replace("{tmp}", str(tmp_path)) for name, value in change.items()}
    output = tiny_run.run({**tiny_run.FINAL, "data_path": tiny_data, "output_dir": tmp_path / "run",
                           "cache_dir": tmp_path / "cache", **change}, expect=2)
    assert part in output and "Traceback" not in output


def test_flags_of_a_final_training_are_refused_in_a_search(tmp_path):
    for flag in ({"init_from": "x"}, {"early_stopping_epochs": 3}):
        output = tiny_run.run({**tiny_run.SEARCH, "data_path": "d", "output_dir": tmp_path / "run",
                               **flag}, expect=2)
        assert re.search(rf"--{next(iter(flag))}.*--child_fixed_arc", output)


def test_shared_weights_of_another_size_are_refused(tiny_data, tiny_search, tmp_path):
    output = tiny_run.run({
        **tiny_run.FINAL, "data_path": tiny_data, "output_dir": tmp_path / "run",
        "cache_dir": tmp_path / "cache", "child_network": "search", "init_from": tiny_search,
        "child_out_filters": 6}, expect=2)
    assert "expected float32" in output and "Traceback" not in output
    assert Architecture.parse("3 5 1 0 1 1", 3)


def test_a_reference_is_kept_as_the_architecture_it_named(tiny_data, tmp_path):
    """So that the search may be removed, or ranked again, and the run still goes on."""
    place = tmp_path / "arc.txt"
    place.write_text("3\n5 1\n")
    flags = {**tiny_run.SHALLOW_FINAL, "data_path": tiny_data, "output_dir": tmp_path / "run",
             "cache_dir": tmp_path / "cache", "num_epochs": 1, "child_fixed_arc": place}
    tiny_run.run(flags)
    config = json.loads((tmp_path / "run/config.json").read_text())["configuration"]
    assert config["child_fixed_arc"] == "3 5 1"
    place.unlink()
    shutil.rmtree(tmp_path / "cache")
    tiny_run.run({**flags, "child_fixed_arc": "3 5 1"})
