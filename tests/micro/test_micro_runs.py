"""Search and final training of cells as whole runs: their files, going on, shared weights, use."""

import re
import signal

import numpy as np
import pytest
import tiny_run

from AEROBI.architecture import ArchitectureError
from AEROBI.flags.from_run_dir import stored_run
from AEROBI.micro.cells import MicroArchitecture
from AEROBI.micro.micro_child import shared_names
from AEROBI.records import ranking
from AEROBI.records.run_records import read_run
from AEROBI.search_space.spaces import MicroSpace, cost_of_run, space_of
from AEROBI.selection.select import Draws, select
from AEROBI.trained.classifier import open_classifier
from AEROBI.trained.evaluation import CENTRE, evaluate
from AEROBI.trained.export import export
from AEROBI.trained.overrides import DataPlace, Overrides

NODES = 1  # a step of a graph that is new takes longest
SEARCH = {**tiny_run.SEARCH, "search_for": "micro", "child_num_branches": 5,
          "child_num_cells": NODES, "child_use_aux_heads": True, "child_drop_path_keep_prob": 0.6,
          "child_keep_prob": 0.9, "controller_op_tanh_reduce": 2.5, "num_epochs": 2,
          "deterministic": True}


@pytest.fixture(scope="module")
def place(tiny_data, tmp_path_factory):
    return {"data_path": tiny_data, "cache_dir": tmp_path_factory.mktemp("cache")}


@pytest.fixture(scope="module")
def searched(place, made_once):
    """The directory of a finished search; `select` writes nothing into it."""
    return made_once("micro_search", lambda folder: tiny_run.run(
        {**SEARCH, **place, "output_dir": folder / "run"})) / "run"


def test_what_a_search_leaves(searched):
    run, config = read_run(searched), stored_run(searched).config
    assert not run.notes and run.state == "finished" and run.kind == "search"
    assert len(run.sampled) == 2 * 10 and isinstance(run.best, MicroArchitecture)
    assert space_of(config.child) == MicroSpace(NODES, 5) == space_of(config.controller)
    assert config.child.use_aux_heads and config.child.drop_path_keep_prob == 0.6
    assert config.controller.op_tanh_reduce == 2.5
    assert {record["skip_rate"] for record in run.controller} == {0.0}
    names = set(tiny_run.weights(searched))
    assert "child/auxiliary_head/fc/w" in names
    assert "child/layer_1/node_0/y/branch_1/stack_1/w_depth" in names
    events, = (searched / "events").iterdir()
    assert events.read_bytes().count(b"architecture/best_of_the_printed") == 2


def test_cells_can_be_searched_without_shared_weights(place, tmp_path):
    tiny_run.run({**SEARCH, **place, "output_dir": tmp_path / "run", "child_alone_epochs": 1,
                  "controller_warmup_epochs": 1})
    trained = [record["architecture"] for record in read_run(tmp_path / "run").trained_alone]
    found = select(tmp_path / "run", Draws(4, "controller"), "")
    names = {candidate.architecture for candidate in found.architectures}
    assert len(trained) == 2 and set(trained) < names and len(names) > 3
    assert all(isinstance(MicroArchitecture.parse(name), MicroArchitecture) for name in names)


def test_an_interrupted_search_ends_as_if_it_had_not_been(searched, place, tmp_path):
    """In a controller phase; weights, optimiser state, records and log bit for bit."""
    flags = {**SEARCH, **place, "output_dir": tmp_path / "run"}
    process = tiny_run.start(flags)
    tiny_run.wait_for(tmp_path / "run/stdout", r"ctrl_step=5 ", process)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM, output
    assert "Resuming after" in tiny_run.run(flags)
    ours, theirs = tiny_run.weights(tmp_path / "run"), tiny_run.weights(searched)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        np.testing.assert_array_equal(value, theirs[name], err_msg=name)
    for name in ("metrics.jsonl", "architectures.jsonl"):
        assert (tmp_path / "run" / name).read_text() == (searched / name).read_text()
    assert tiny_run.log_without_minutes(tmp_path / "run") == tiny_run.log_without_minutes(searched)


@pytest.fixture(scope="module")
def ranked(searched):
    return select(searched, Draws(3, "controller"), "recalibrated")


def test_a_search_is_ranked(ranked, tmp_path):
    assert ranked.space == MicroSpace(NODES) and ranked.num_cells == NODES
    assert sum(candidate.most_likely for candidate in ranked.architectures) == 1
    assert all(candidate.exact_match is not None for candidate in ranked.architectures)
    ranking.save(tmp_path / ranking.FILE, ranked)
    assert ranking.load(tmp_path / ranking.FILE) == ranked


@pytest.fixture(scope="module")
def trained(searched, ranked, place, tmp_path_factory):
    """A final training that begins with the search's weights and hardly moves them."""
    folder = tmp_path_factory.mktemp("final") / "run"
    text = tiny_run.run({
        **SEARCH, **place, "output_dir": folder, "num_epochs": 1, "nocontroller_training": True,
        "child_fixed_arc": ranked.architectures[0].architecture, "init_from": searched,
        "child_lr_max": 1e-30, "child_lr_min": 1e-30})
    assert "The first weights are the shared ones" in text
    cost = cost_of_run(stored_run(folder).config)
    assert re.search(rf"Training .*: {cost.parameters} parameters, {cost.multiply_adds} mult", text)
    return folder


def test_a_final_training_has_the_shared_weights(trained, searched, ranked):
    config = stored_run(trained).config
    architecture = ranked.architecture_of(ranked.architectures[0])
    assert read_run(trained).fixed == architecture
    begun, shared = tiny_run.weights(trained), tiny_run.weights(searched)
    own = [name for name in begun if re.match("child/(?!.*(Momentum|moving_))", name)]
    for name in own:
        parts = [shared[part] for part in shared_names(name, architecture, config.child)]
        np.testing.assert_allclose(
            begun[name], parts[0] if len(parts) == 1 else np.concatenate(parts, 2),
            atol=1e-30, err_msg=name)
    counted = sum(begun[name].size for name in own if "auxiliary" not in name)
    assert cost_of_run(config).parameters == counted


def test_both_networks_say_the_same_of_a_patch(trained, searched, ranked):
    """The one of the search under that architecture, and the one trained; but for statistics."""
    patch = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    text = ranked.architectures[0].architecture
    with open_classifier(trained, Overrides()) as classifier:
        probabilities = classifier.probabilities(patch)
    assert probabilities.shape == (2, 6) and np.isfinite(probabilities).all()
    with open_classifier(searched, Overrides(fixed_arc=text)) as classifier:
        assert classifier.probabilities(patch).shape == (2, 6)


def test_an_architecture_of_layers_is_refused(searched):
    with pytest.raises(ArchitectureError, match="two cells of 1 nodes"):
        space_of(stored_run(searched).config.child).parse("3 5 1 0 1 1")


def test_it_is_evaluated_and_exported(trained, tmp_path):
    report = evaluate(trained, "test", False, CENTRE, Overrides(), DataPlace("", ""))
    assert report.metrics.images == tiny_run.SIZES.test
    description = export(trained, tmp_path / "model")
    differences = description["differences"]
    assert differences["saved_model"]["largest"] < 1e-5
    assert differences["model.tflite"]["largest"] < 1e-4
    with open_classifier(tmp_path / "model", Overrides()) as classifier:  # no unknown operation
        assert classifier.probabilities(np.zeros((1, 16, 16, 3), np.uint8)).shape == (1, 6)
