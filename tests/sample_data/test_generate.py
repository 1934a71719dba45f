"""The embedded data set: layout, labels, determinism, refusals, and that colour alone fails."""

import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from AEROBI.commands import sample_data as sample_data_command
from AEROBI.data_utils import CLASS_NAMES, SPLITS, read_data_set
from AEROBI.sample_data import generate as sample_data
from AEROBI.sample_data.defects import paint_defects
from AEROBI.sample_data.generate import SampleSizes, generate, render
from AEROBI.sample_data.textures import (
    CLUTTER,
    add_clutter,
    concrete,
    make_grid,
    noise,
    path_distance,
)

SIZES = SampleSizes(train=12, val=3, test=5)
SOURCE = Path(sample_data.__file__).resolve().parents[2]


def _files(folder: Path) -> dict[str, bytes]:
    """Relative name -> content of every file below a folder."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def _render(split: int, number: int, seed: int = 0) -> sample_data.Sample:
    return render(np.random.default_rng([seed, split, number]))


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "AEROBI.cli", "sample-data", *arguments]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(SOURCE)}


def _run(*arguments: str) -> subprocess.CompletedProcess:
    """The real command."""
    return subprocess.run(
        _command(*arguments), env=_environment(), capture_output=True, text=True, timeout=60
    )


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set, seed 3."""
    folder = tmp_path_factory.mktemp("sample") / "data"
    generate(folder, SIZES, seed=3)
    return folder


# --- layout and labels -----------------------------------------------------------------


def test_folders_hold_the_counts_asked_for(data_set: Path) -> None:
    assert sorted(path.name for path in data_set.iterdir()) == sorted([*SPLITS, "metadata"])
    for split in SPLITS:
        kinds = sorted(path.name for path in (data_set / split).iterdir())
        assert kinds == ["background", "defects"]
        assert len(list((data_set / split).rglob("*.png"))) == getattr(SIZES, split)


def test_label_files_name_the_images_of_their_folders(data_set: Path) -> None:
    for kind in ("background", "defects"):
        root = ET.parse(data_set / "metadata" / f"{kind}.xml").getroot()
        assert root.tag == "Annotation"
        assert {entry.tag for entry in root} <= {"Defect"}
        images = sorted(path.name for path in data_set.glob(f"*/{kind}/*.png"))
        assert sorted(entry.get("name") for entry in root) == images
        for entry in root:
            assert tuple(child.tag for child in entry) == CLASS_NAMES
            assert {child.text for child in entry} <= {"0", "1"}
            assert entry.find("Background").text == str(int(kind == "background"))


def test_the_data_loader_reads_it(data_set: Path) -> None:
    splits = read_data_set(str(data_set)).splits
    assert [len(splits[name].paths) for name in SPLITS] == [SIZES.train, SIZES.val, SIZES.test]
    for index, split in enumerate(SPLITS):
        for path, labels in zip(splits[split].paths, splits[split].labels):
            number = int(Path(path).name.split("_")[1]) - 1 - index * 1_000_000
            sample = _render(index, number, seed=3)
            np.testing.assert_array_equal(labels, sample.labels)
            np.testing.assert_array_equal(np.asarray(Image.open(path)), sample.image)


def test_labels_follow_the_rules() -> None:
    columns = {name: column for column, name in enumerate(CLASS_NAMES)}
    labels = np.array([_render(0, number).labels for number in range(150)])
    assert labels.dtype == np.uint8
    background = labels[:, columns["Background"]]
    np.testing.assert_array_equal(background, labels.sum(axis=1) - background == 0)
    assert (labels[:, columns["Spallation"]] >= labels[:, columns["ExposedBars"]]).all()
    assert (labels.mean(axis=0) > 0.08).all()
    assert 0.12 < background.mean() < 0.33
    assert 0.2 < (labels.sum(axis=1) > 1).mean() < 0.6


def test_every_scene_obeys_the_rules() -> None:
    for share, names in sample_data.SCENES:
        assert share > 0
        assert set(names) <= set(CLASS_NAMES)
        assert names == ("Background",) or (names and "Background" not in names)
        assert "ExposedBars" not in names or "Spallation" in names


def test_pictures_differ_in_size_and_shape() -> None:
    shapes = [_render(0, number).image.shape for number in range(40)]
    assert len(set(shapes)) > 20
    assert {height > width for height, width, _ in shapes} == {True, False}
    low, high = sample_data.SHORTER_SIDE
    for height, width, channels in shapes:
        assert channels == 3
        assert low <= min(height, width) <= high
        assert max(height, width) <= round(sample_data.MAX_ASPECT * min(height, width))


# --- pictures --------------------------------------------------------------------------


@pytest.mark.parametrize("names", [names for _, names in sample_data.SCENES[1:]])
def test_defects_show_in_the_centre_square(names: tuple[str, ...]) -> None:
    grid = make_grid(64, 96)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        bare = add_clutter(rng, grid, concrete(rng, grid))
        painted = paint_defects(rng, grid, bare, names)
        change = np.abs(painted.colour - bare.colour).max(axis=-1)[:, 16:80]
        assert (change > 0.06).sum() > 40, "less than 1 % of the square shows a defect"


def test_background_paints_nothing() -> None:
    rng, grid = np.random.default_rng(0), make_grid(64, 64)
    bare = concrete(rng, grid)
    painted = paint_defects(rng, grid, bare, ("Background",))
    np.testing.assert_array_equal(painted.colour, bare.colour)
    np.testing.assert_array_equal(painted.height, bare.height)


@pytest.mark.parametrize("layer", [layer for layer, _ in CLUTTER], ids=lambda f: f.__name__)
def test_clutter_keeps_shape_and_gives_numbers(layer) -> None:
    grid = make_grid(70, 64)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        surface = layer(rng, grid, concrete(rng, grid))
        assert surface.height.shape == (70, 64)
        assert surface.colour.shape == (70, 64, 3)
        assert np.isfinite(surface.height).all()
        assert np.isfinite(surface.colour).all()


def test_noise_is_centred_and_of_unit_size() -> None:
    rng, grid = np.random.default_rng(0), make_grid(96, 96)
    fields = np.array([noise(rng, grid, 4.0, 6.0) for _ in range(30)])
    assert fields.dtype == np.float32
    assert abs(fields.mean()) < 0.1
    assert fields.std() == pytest.approx(1.0, abs=0.1)


def test_path_distance_agrees_with_a_slow_twin() -> None:
    grid, path = make_grid(64, 80), np.array([[-20.0, -30.0], [5.0, 0.0], [5.0, 25.0]])
    # Densely sampled points of the path instead of the projection on its segments.
    places = np.linspace(0, 2, 2001)
    dense = np.stack([np.interp(places, [0, 1, 2], path[:, axis]) for axis in (0, 1)])
    distance, along = path_distance(grid, path)
    for row, column in [(0, 0), (31, 40), (63, 79), (10, 60), (50, 5)]:
        steps = np.hypot(dense[0] - grid.y[row, column], dense[1] - grid.x[row, column])
        assert distance[row, column] == pytest.approx(steps.min(), abs=0.05)
        assert along[row, column] == pytest.approx(places[steps.argmin()] / 2, abs=0.01)


# --- determinism -----------------------------------------------------------------------


def test_same_seed_same_bytes(data_set: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", SIZES, seed=3)
    assert _files(tmp_path / "again") == _files(data_set)


def test_other_seed_other_pictures(data_set: Path, tmp_path: Path) -> None:
    generate(tmp_path / "other", SIZES, seed=4)
    first, other = (
        {content for name, content in _files(folder).items() if name.endswith(".png")}
        for folder in (data_set, tmp_path / "other")
    )
    assert not first & other


def test_a_larger_set_begins_with_the_smaller_one(data_set: Path, tmp_path: Path) -> None:
    generate(tmp_path / "larger", SampleSizes(train=14, val=4, test=5), seed=3)
    larger = _files(tmp_path / "larger")
    for name, content in _files(data_set).items():
        assert name.endswith(".xml") or larger[name] == content


def test_no_picture_occurs_twice(data_set: Path) -> None:
    contents = [content for name, content in _files(data_set).items() if name.endswith(".png")]
    assert len(set(contents)) == len(contents)


# --- refusing and leaving nothing behind ------------------------------------------------


def test_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("keep me")
    with pytest.raises(FileExistsError, match=r"not empty.*another folder") as caught:
        generate(tmp_path, SIZES)
    assert str(tmp_path) in str(caught.value)
    assert _files(tmp_path) == {"notes.txt": b"keep me"}


def test_refuses_a_file(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("keep me")
    with pytest.raises(FileExistsError, match="data is a file"):
        generate(tmp_path / "data", SIZES)
    assert _files(tmp_path) == {"data": b"keep me"}


def test_uses_an_empty_folder_and_makes_missing_parents(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for output in (tmp_path / "empty", tmp_path / "some" / "where"):
        generate(output, SampleSizes(1, 1, 1))
        assert len(list(output.rglob("*.png"))) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "some"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interrupted_run_leaves_nothing(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def breaking(rng: np.random.Generator) -> sample_data.Sample:
        calls.append(rng)
        if len(calls) == 5:
            raise error("stopped")
        return render(rng)

    monkeypatch.setattr(sample_data, "render", breaking)
    with pytest.raises(error):
        generate(tmp_path / "new" / "data", SIZES)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("count", [0, -3, 1_000_000])
def test_refuses_impossible_counts(split: str, count: int) -> None:
    counts = {**dict.fromkeys(SPLITS, 1), split: count}
    with pytest.raises(ValueError, match=f"{split} split cannot have {count} images"):
        SampleSizes(**counts)


def test_refuses_a_negative_seed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="seed cannot be -1"):
        generate(tmp_path / "data", SIZES, seed=-1)
    assert not list(tmp_path.iterdir())


# --- the command -----------------------------------------------------------------------


def test_command_writes_the_same_and_says_so_in_one_line(data_set: Path, tmp_path: Path) -> None:
    output = tmp_path / "data"
    counts = ("--train", "12", "--val", "3", "--test", "5")
    done = _run("--output", str(output), *counts, "--seed", "3")
    assert done.returncode == 0, done.stderr
    assert _files(output) == _files(data_set)
    (line,) = (done.stdout + done.stderr).splitlines()
    assert f"{output}: wrote 20 images (seed 3)" in line
    again = _run("--output", str(output), *counts)
    assert again.returncode == 2
    assert f"{output} is not empty" in again.stderr


def test_help_names_every_flag() -> None:
    done = _run("--help")
    assert done.returncode == 0
    for flag in ("--output", "--train", "--val", "--test", "--seed"):
        assert flag in done.stdout
    assert "1000" in done.stdout


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--train", "0"), ("--val", "-1"), ("--test", "many"), ("--seed", "-1"), ("--seed", "1.5")],
)
def test_command_refuses_bad_values(
    flag: str, value: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        sample_data_command.main(["--output", str(tmp_path / "data"), f"{flag}={value}"])
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert flag in message
    assert repr(value) in message
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_killed_command_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        _command("--output", str(tmp_path / "data")), env=_environment(), stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while not list(tmp_path.rglob("*.png")) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert list(tmp_path.rglob("*.png")), "the command never began to write"
    process.send_signal(number)
    _, message = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert b"Traceback" not in message
    assert not list(tmp_path.iterdir())


# --- difficulty ------------------------------------------------------------------------


def _thumbnails(split: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """float [count, 192]: the centre squares as 8 x 8 pixels; labels uint8 [count, 6]."""
    pixels, labels = [], []
    for number in range(count):
        sample = _render(split, number)
        height, width, _ = sample.image.shape
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        square = Image.fromarray(sample.image[top : top + side, left : left + side])
        pixels.append(np.asarray(square.resize((8, 8), Image.Resampling.BOX)).ravel() / 255)
        labels.append(sample.labels)
    return np.array(pixels), np.array(labels)


def test_colours_alone_do_not_tell_the_labels() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model", reason="needs scikit-learn")
    (train, train_labels), (test, test_labels) = _thumbnails(0, 350), _thumbnails(2, 150)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    right = np.ones(len(test), bool)
    for column in range(len(CLASS_NAMES)):
        model = linear_model.LogisticRegression(C=0.3, max_iter=1000)
        model.fit((train - mean) / deviation, train_labels[:, column])
        right &= model.predict((test - mean) / deviation) == test_labels[:, column]
    assert right.mean() < 0.40
