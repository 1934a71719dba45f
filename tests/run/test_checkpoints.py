"""Checkpoints: what is saved comes back, also after damage, moves and kills."""

import logging
import pathlib
import shutil
import subprocess
import sys

import pytest
import tensorflow.compat.v1 as tf
from checkpoint_run import Run

from AEROBI.run.checkpoints import CheckpointError, Checkpoints


@pytest.fixture
def new_run(tmp_path):
    """`new_run()`: another process on the same folder, as far as TensorFlow can tell."""
    opened = []

    def start(directory=tmp_path / "checkpoints"):
        with tf.Graph().as_default():
            opened.append(Run(directory))
        return opened[-1]

    yield start
    for run in opened:
        run.session.close()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "checkpoints"


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def files_of(*numbers):
    ends = ("data-00000-of-00001", "index", "json")
    return ["checkpoint", *(f"checkpoint-{number}.{end}" for number in numbers for end in ends)]


def test_round_trip(new_run):
    assert new_run().restore() is None
    run = new_run()
    run.save(0)
    again = new_run()
    assert again.restore()["count"] == 1
    again.save(1)
    assert new_run().restore()["count"] == 2


def test_nothing_restored_leaves_the_variables(new_run):
    run = new_run()
    run.session.run(run._step)
    assert run.restore() is None
    assert run.count() == 1


def test_the_last_two_stay_across_restarts(new_run, folder):
    run = new_run()
    for number in range(3):
        run.save(number)
        assert names(folder) == files_of(*range(max(0, number - 1), number + 1))
    run = new_run()
    run.restore()
    for number in range(3, 5):
        run.save(number)
        assert names(folder) == files_of(number - 1, number)


def test_other_files_are_left_alone(new_run, folder):
    run = new_run()
    (folder / "notes.txt").write_text("mine")
    (folder / "checkpoint-0_temp").mkdir()  # what a killed Saver leaves
    (folder / "checkpoint-0_temp" / "part-00000").write_text("half")
    (folder / "checkpoint-7.index").write_text("half")
    for number in range(3):
        run.save(number)
    assert names(folder) == [*files_of(1, 2), "notes.txt"]


def test_a_moved_folder_resumes(new_run, folder, tmp_path):
    run = new_run()
    run.save(0)
    run.save(1)
    shutil.move(folder, tmp_path / "elsewhere")
    moved = new_run(tmp_path / "elsewhere")
    assert moved.restore()["count"] == 2
    moved.save(2)
    assert names(tmp_path / "elsewhere") == files_of(1, 2)
    assert not names(tmp_path)[0].startswith("checkpoint")


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(bytes(content))


def cut(path):
    path.write_bytes(path.read_bytes()[:-5])


DAMAGES = {
    "data cut": lambda prefix: cut(prefix.with_suffix(".data-00000-of-00001")),
    "data flipped": lambda prefix: flip(prefix.with_suffix(".data-00000-of-00001"), 99),
    "data missing": lambda prefix: prefix.with_suffix(".data-00000-of-00001").unlink(),
    "index cut": lambda prefix: cut(prefix.with_suffix(".index")),
    "index flipped": lambda prefix: flip(prefix.with_suffix(".index"), 20),
    "index empty": lambda prefix: prefix.with_suffix(".index").write_bytes(b""),
    "index missing": lambda prefix: prefix.with_suffix(".index").unlink(),
    "sidecar cut": lambda prefix: cut(prefix.with_suffix(".json")),
    "sidecar flipped": lambda prefix: flip(prefix.with_suffix(".json"), 40),
    "sidecar no object": lambda prefix: prefix.with_suffix(".json").write_text("[]"),
    "sidecar missing": lambda prefix: prefix.with_suffix(".json").unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_falls_back_to_the_one_before(new_run, folder, caplog, damage):
    run = new_run()
    run.save(5)
    run.save(6)
    DAMAGES[damage](folder / "checkpoint-6")
    again = new_run()
    assert again.restore()["count"] == 1
    warning, = [record.getMessage() for record in caplog.records
                if record.levelno == logging.WARNING]
    assert str(folder / "checkpoint-6") in warning
    again.save(6)  # the number of the damaged one
    assert names(folder) == files_of(5, 6)
    assert new_run().restore()["count"] == 2


def test_both_damaged_is_an_error(new_run, folder):
    run = new_run()
    run.save(0)
    run.save(1)
    for number in range(2):
        DAMAGES["data flipped"](folder / f"checkpoint-{number}")
    with pytest.raises(CheckpointError, match="--reset_output_dir") as error:
        new_run().restore()
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("content", [None, b"", b"\x00\xff junk {"])
def test_list_of_checkpoints_damaged_or_not_copied(new_run, folder, content):
    run = new_run()
    run.save(9)
    run.save(10)
    (folder / "checkpoint").unlink()
    if content is not None:
        (folder / "checkpoint").write_bytes(content)
    assert new_run().restore()["count"] == 2


def test_killed_within_the_first_save_starts_afresh(new_run, folder):
    run = new_run()
    run.save(0)
    (folder / "checkpoint").unlink()
    cut(folder / "checkpoint-0.index")
    again = new_run()
    assert again.restore() is None
    again.save(0)
    assert names(folder) == files_of(0)


@pytest.mark.parametrize("name", ["run[1]", "run\\\\1", "run{1,2}", "r*", "r?n", "\udcff"])
def test_a_folder_whose_name_tensorflow_misreads(new_run, tmp_path, name):
    others = [tmp_path / other / "checkpoints" for other in ("run1", "run", "r1n")]
    for other in others:
        other.mkdir(parents=True)
        (other / "checkpoint-0.index").write_text("of another run")
    folder = tmp_path / name / "checkpoints"
    run = new_run(folder)
    for number in range(4):
        run.save(number)
    again = new_run(folder)
    assert again.restore()["count"] == 4
    again.save(4)
    assert names(folder) == files_of(3, 4)
    assert new_run(folder).restore()["count"] == 5
    assert again.checkpoints.newest == folder / "checkpoint-4"
    assert all(names(other) == ["checkpoint-0.index"] for other in others)


def test_a_users_files_stay_whatever_their_number(new_run, folder):
    run = new_run()
    (folder / "checkpoint-0.notes.txt").write_text("mine")
    for number in range(4):
        run.save(number)
    assert names(folder) == ["checkpoint", "checkpoint-0.notes.txt", *files_of(2, 3)[1:]]


def test_numbers_must_grow(new_run):
    run = new_run()
    run.save(3)
    with pytest.raises(ValueError, match="numbers must grow"):
        run.save(3)
    again = new_run()
    again.restore()
    with pytest.raises(ValueError, match="numbers must grow"):
        again.save(2)


def test_another_network_is_a_clear_error(new_run, folder):
    new_run().save(0)
    for name, shape, parts in (("child/w", [50, 4], ("child/w", "[50, 3]", "[50, 4]")),
                               ("child/v", [1], ("child/v", "missing"))):
        with tf.Graph().as_default():
            tf.get_variable(name, shape)
            checkpoints = Checkpoints(str(folder), tf.global_variables())
            with tf.Session() as session, pytest.raises(CheckpointError) as error:
                checkpoints.restore_latest(session)
        assert all(part in str(error.value) for part in parts), error.value


def test_folder_that_vanished(new_run, folder):
    run = new_run()
    run.save(0)
    shutil.rmtree(folder)
    with pytest.raises(CheckpointError, match="checkpoint-1"):
        run.save(1)


def test_folder_that_vanishes_under_the_saver(new_run, folder):
    """Between the weights and the list of checkpoints that is to name them."""
    run = new_run()
    run.save(0)
    session_run = run.session.run

    def write_and_lose(fetches, *args, **kwargs):
        values = session_run(fetches, *args, **kwargs)
        shutil.rmtree(folder)
        return values

    run.session.run = write_and_lose
    with pytest.raises(CheckpointError, match=r"checkpoint-1: .*the folder is gone"):
        run.checkpoints.save(run.session, 1, {})


def test_a_lost_server_is_not_taken_for_a_full_disk(new_run, folder):
    """The cluster's own loop is to hear of it, and goes on from the checkpoint before."""
    run = new_run()
    run.save(0)

    def lose(*_, **__):
        raise tf.errors.UnavailableError(None, None, "Socket closed")

    run.session.run = lose
    with pytest.raises(tf.errors.UnavailableError):
        run.checkpoints.save(run.session, 1, {})
    assert new_run().restore() == {"count": 1, "x": [1.5, None]}


def test_position_that_is_no_json_changes_nothing(new_run, folder):
    run = new_run()
    run.save(0)
    with pytest.raises(TypeError):
        run.checkpoints.save(run.session, 1, {"x": object()})
    assert names(folder) == files_of(0)


def test_a_set_of_fetches_is_made_once(new_run):
    """Every new set costs a pass over the whole graph; a finalized graph takes no new ops."""
    run = new_run()
    made = []
    session_run = run.session.run

    def watch(fetches, *args, **kwargs):
        made.append(str(fetches))
        return session_run(fetches, *args, **kwargs)

    run.session.run = watch
    for number in range(3):
        run.checkpoints.save(run.session, number, {})
    run.checkpoints.restore_latest(run.session)
    assert len(made) == 4
    assert len(set(made)) == 2


def test_no_chatter(new_run, caplog):
    run = new_run()
    for number in range(3):
        run.save(number)
    new_run().restore()
    assert caplog.records == []


# Forks a child that resumes and saves in a loop, and kills it; again and again. TensorFlow is
# imported once, before any session starts threads.
KILLER = """
import logging, os, random, signal, sys, time
sys.path[:0] = sys.argv[2:]
from checkpoint_run import Run, tf

def child(directory, ready):
    with tf.Graph().as_default():
        run = Run(directory)
    position = run.restore()
    count = position["count"] if position else 0
    os.write(ready, b"1")
    while True:
        run.save(count)
        os.write(ready, b"2")
        count += 1

random.seed(0)
for kill in range(12):
    reading, ready = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            child(sys.argv[1], ready)
        except BaseException:
            logging.exception("child failed")
        os._exit(1)
    os.close(ready)
    if os.read(reading, 1) != b"1":
        sys.exit("a child could not resume")
    if os.read(reading, 1) != b"2":  # on a busy machine the first one takes its time
        sys.exit("a child could not save")
    time.sleep(random.uniform(0.01, 0.12))
    os.kill(pid, signal.SIGKILL)
    if os.waitpid(pid, 0)[1] != signal.SIGKILL:
        sys.exit("a child could not save")
    os.close(reading)
"""


def test_kills_leave_a_checkpoint_that_restores(new_run, folder):
    root = pathlib.Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", KILLER, str(folder), str(root / "src"),
         str(root / "tests/helpers")],
        capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr[-3000:]
    position = new_run().restore()
    assert position["count"] > 12
