"""Pipes and folders in the place of files, and JSON that is nested thousands deep: one line."""

import os

import pytest
from codebrim_tree import write_csv, write_tree

from AEROBI.config import ConfigError
from AEROBI.data.image_files import decode, scaled_size
from AEROBI.data_utils import DataError, read_data_set
from AEROBI.flags.fixed_arc import read_fixed_arc
from AEROBI.flags.from_run_dir import stored_run
from AEROBI.prediction.photos import PhotoError, read_photo
from AEROBI.records import log_extract, ranking, search_history, split_predictions
from AEROBI.run.append_file import AppendFile
from AEROBI.run.checkpoints import checkpoint_reader, finished_checkpoints, read_position
from AEROBI.run.regular_files import read_json
from AEROBI.run.run_dir import RunDirectory, RunDirectoryError
from AEROBI.trained.known_operations import load, read_meta_graph
from AEROBI.trained.tflite_classifier import open_tflite

DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.fixture
def pipe(tmp_path):
    """`pipe(name)`: a named pipe that nobody writes into, below the test's folder."""
    def make(name: str):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        return path
    return make


@pytest.mark.parametrize("read", [
    ranking.load, split_predictions.load, AppendFile, search_history.read, read_json,
    lambda path: log_extract.read_log(path, 3)])
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_is_an_error_of_the_system(tmp_path, read, make):
    make(path := tmp_path / "x")
    with pytest.raises((OSError, search_history.HistoryError), match=str(path)):
        read(path)


def test_pipes_in_a_run(pipe):
    run = pipe("run/config.json").parent
    with pytest.raises(ConfigError, match="pipe"):
        stored_run(run)
    with pytest.raises(RunDirectoryError, match="pipe"):
        RunDirectory.open(str(run), {}, False)
    with pytest.raises(ConfigError, match="pipe"):
        read_fixed_arc(str(pipe("arc.txt")), 3)


def test_pipes_in_a_checkpoint(pipe):
    folder = pipe("run/checkpoints/checkpoint").parent
    prefix = pipe("run/checkpoints/checkpoint-1.index").with_suffix("")
    assert finished_checkpoints(folder) == [prefix]
    with pytest.raises(OSError, match="pipe"):
        checkpoint_reader(prefix)
    pipe("run/checkpoints/checkpoint-1.json")
    assert read_position(prefix) == {}


def test_pipes_in_an_exported_model(pipe):
    folder = pipe("model/saved_model.pb").parent
    with pytest.raises(ConfigError, match="pipe"):
        read_meta_graph(folder)
    pipe("model/variables/variables.index")
    with pytest.raises(OSError, match="pipe"):
        load(None, folder, None)
    pipe("model/model.json").with_name("model.tflite").touch()
    with pytest.raises(ConfigError, match="pipe"):
        open_tflite(folder / "model.tflite")


def test_pipes_in_a_data_set(pipe, tmp_path):
    tree = write_tree(tmp_path / "set")
    table = write_csv(tree)
    image = pipe(next((tree.root / "train").rglob("*.png")).relative_to(tmp_path))
    for read in (lambda path: scaled_size(path, 16), lambda path: decode(path, (16, 16))):
        with pytest.raises(DataError, match="pipe"):
            read(str(image))
    with pytest.raises(PhotoError, match="pipe"):
        read_photo(str(image))
    for name in (table, tree.root / "metadata" / "defects.xml"):
        pipe(name.relative_to(tmp_path))
        with pytest.raises(DataError, match="pipe"):
            read_data_set(str(table if name == table else tree.root))
        name.unlink()


def test_json_that_is_nested_thousands_deep(tmp_path):
    for name in ("config.json", "versions.json", "checkpoint-1.json", "model.json"):
        (tmp_path / name).write_bytes(DEEP)
    with pytest.raises(ValueError, match="nested"):
        read_json(tmp_path / "config.json")
    with pytest.raises(ConfigError, match="nested"):
        stored_run(tmp_path)
    with pytest.raises(RunDirectoryError, match="not the folder of a run"):
        RunDirectory.open(str(tmp_path), {}, False)
    assert read_position(tmp_path / "checkpoint-1") == {}
    with pytest.raises(ranking.RankingError, match="nested"):
        ranking.load(tmp_path / "config.json")
