"""Runs that are killed and started again, against one that was not."""

import signal

import numpy as np
import pytest
import tiny_run


@pytest.fixture(scope="module")
def flags(tiny_data, tmp_path_factory):
    """`flags(kind, directory)` of a deterministic run with frequent checkpoints."""
    cache = tmp_path_factory.mktemp("cache")

    def of(base: dict, output_dir) -> dict:
        return {**base, "data_path": tiny_data, "cache_dir": cache, "output_dir": output_dir,
                "deterministic": True, "checkpoint_secs": 0.15}
    return of


@pytest.fixture(scope="module")
def whole(flags, tmp_path_factory):
    """`whole(base)`: the directory of an uninterrupted run; each is made once."""
    made = {}

    def directory(base: dict):
        key = str(base)
        if key not in made:
            made[key] = tmp_path_factory.mktemp("whole") / "run"
            tiny_run.run({**flags(base, made[key]), "checkpoint_secs": 300})
        return made[key]
    return directory


def assert_same(run_dir, other):
    """Weights, optimiser state, records and log lines, bit for bit."""
    ours, theirs = tiny_run.weights(run_dir), tiny_run.weights(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)
    for name in ("metrics.jsonl", "architectures.jsonl"):
        assert (run_dir / name).read_text() == (other / name).read_text()
    assert tiny_run.log_without_minutes(run_dir) == tiny_run.log_without_minutes(other)


def interrupt(flags: dict, moment: str, number: int) -> str:
    """Starts a run and sends it a signal once its log has a line; returns what it said."""
    process = tiny_run.start(flags)
    tiny_run.wait_for(flags["output_dir"] / "stdout", moment, process)
    process.send_signal(number)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), output
    return output


def assert_said_so(output: str, number: int):
    """A clear line, and no traceback."""
    assert "checkpoint written" in output and signal.Signals(number).name in output
    assert "Traceback" not in output


@pytest.mark.parametrize("killed_before", [
    (), pytest.param((r"ch_step=3 ", r"ctrl_step=2 ", r"Epoch 0: Eval"), marks=pytest.mark.long)])
def test_an_interrupted_search_ends_as_if_it_had_not_been(killed_before, flags, whole, tmp_path):
    """In a controller phase and while printing; in a child epoch and in evaluation as well."""
    run = flags(tiny_run.SHALLOW_SEARCH, tmp_path / "run")
    for moment in killed_before:
        interrupt(run, moment, signal.SIGKILL)
    assert_said_so(interrupt(run, r"ctrl_step=6 ", signal.SIGINT), signal.SIGINT)
    interrupt(run, r"Here are 10(.|\n)*Here are 10", signal.SIGKILL)
    assert "Resuming after" in tiny_run.run(run)
    assert_same(run["output_dir"], whole(tiny_run.SHALLOW_SEARCH))


def test_an_interrupted_final_training_ends_as_if_it_had_not_been(flags, whole, tmp_path):
    run = flags(tiny_run.SHALLOW_FINAL, tmp_path / "run")
    interrupt(run, r"ch_step=7 ", signal.SIGKILL)
    # No checkpoint but the one that the signal makes.
    rarely = {**run, "checkpoint_secs": 300}
    assert_said_so(interrupt(rarely, r"ch_step=9 ", signal.SIGTERM), signal.SIGTERM)
    assert "Resuming after" in tiny_run.run(rarely)
    assert_same(run["output_dir"], whole(tiny_run.SHALLOW_FINAL))


def test_a_finished_run_started_again_has_nothing_to_do(flags, whole):
    run_dir = whole(tiny_run.SHALLOW_FINAL)
    before = (run_dir / "metrics.jsonl").read_text()
    tiny_run.run({**flags(tiny_run.SHALLOW_FINAL, run_dir), "checkpoint_secs": 300})
    assert (run_dir / "metrics.jsonl").read_text() == before
