"""The film of a search: what it reads, what a frame shows, what the files hold; the command."""

import io
import os
import pathlib
import subprocess
import sys

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from AEROBI.architecture import ENAS_1, SHIPPED, Architecture
from AEROBI.commands import draw
from AEROBI.drawing import animation, video_file
from AEROBI.drawing.operation_styles import DARK, OPERATION_STYLES
from AEROBI.drawing.search_frames import Stage
from AEROBI.records import search_history
from AEROBI.records.log_extract import extract
from AEROBI.records.search_history import HistoryError, SearchHistory

SCRIPTS = pathlib.Path(__file__).parents[2] / "scripts"
SAMPLE = SCRIPTS / "sample_log.txt"


@pytest.fixture(scope="module")
def sample():
    return search_history.read(SAMPLE)


def short(history, count):
    """The first architectures of a history."""
    return history._replace(architectures=history.architectures[:count],
                            batch_accuracy=history.batch_accuracy[:count])


def rgb(colour):
    return [int(colour[start:start + 2], 16) for start in (1, 3, 5)]


def column(image, x, offset=0):
    """Rows of the shares' chart `offset` pixels right of x architectures, in a sample's frame."""
    height, width = image.shape[:2]
    left, size = 0.63 * width, 0.345 * width
    rows = slice(int(0.50 * height), int(0.71 * height))
    return image[rows, int(left + size * (x - 0.5) / 150) + offset, :3].astype(int)


# --- reading ---------------------------------------------------------------------------

def test_a_log(sample):
    text = SAMPLE.read_text()
    assert len(sample.architectures) == text.count("val_acc=") == 150
    assert sample.architectures[0] == Architecture.parse(
        "0 5 1 1 0 0 1 1 0 0 3 0 0 1 0 1 0 1 1 0 0 2 1 1 0 1 0 1", 7)
    assert sample.batch_accuracy[:2].tolist() == [0, 0.0625]
    assert sample.valid_accuracy.tolist() == [0.04, 0.09, 0.17]
    assert sample.evaluated_after.tolist() == [50, 100, 150]


def test_a_run_directory_and_the_extracted_files(sample, tmp_path):
    (tmp_path / "stdout").write_bytes(SAMPLE.read_bytes())
    assert str(search_history.read(tmp_path)) == str(sample)
    extract(tmp_path / "stdout", 7, tmp_path / "files")
    strings = search_history.read(tmp_path / "files")
    assert strings.architectures == sample.architectures
    assert np.isnan(strings.batch_accuracy).all()
    np.testing.assert_array_equal(strings.valid_accuracy, sample.valid_accuracy)
    np.testing.assert_array_equal(strings.evaluated_after, sample.evaluated_after)


def test_the_number_of_layers_is_that_of_the_run(tmp_path):
    (tmp_path / "stdout").write_text("[5]\n[1 0]\nval_acc=0.5000\n" + "-" * 80 + "\n")
    with pytest.raises(HistoryError, match=r"stdout: line .*--arc-length"):
        search_history.read(tmp_path)
    assert search_history.read(tmp_path, 2).architectures[0].ops == (5, 1)
    (tmp_path / "config.json").write_text('{"configuration": {"child_num_layers": 2}}')
    assert search_history.read(tmp_path).architectures[0].ops == (5, 1)


@pytest.mark.parametrize("layers", [1, 7, 24])
def test_strings_tell_their_number_of_layers(layers):
    text = str(Architecture.random(layers, np.random.default_rng(0)))
    assert Architecture.parse(text).num_layers == layers


def test_shares_and_means_against_slow_ones(sample):
    shares = search_history.operation_shares(sample.architectures, 50)
    values = sample.batch_accuracy.copy()
    values[::7] = np.nan
    means = search_history.running_mean(values, 50)
    for i in range(len(shares)):
        recent = slice(max(0, i - 49), i + 1)
        ops = [op for architecture in sample.architectures[recent] for op in architecture.ops]
        np.testing.assert_allclose(shares[i], [ops.count(op) / len(ops) for op in range(6)])
        known = values[recent][~np.isnan(values[recent])]
        np.testing.assert_allclose(means[i], known.mean() if len(known) else np.nan, atol=1e-12)


# --- frames ----------------------------------------------------------------------------

def test_a_frame_does_not_depend_on_those_before(sample):
    stage = Stage(sample, dpi=80)
    forwards = [bytes(stage.frame(index)) for index in (0, 60, 149)]
    backwards = [bytes(stage.frame(index)) for index in (149, 60, 0)]  # texts put there again
    assert forwards == backwards[::-1]
    assert len(set(forwards)) == 3
    assert bytes(Stage(sample, dpi=80).frame(60)) == forwards[1]


def test_the_current_architecture_is_marked_and_moves(sample):
    stage = Stage(sample, dpi=120)
    for now in (30, 75, 120):
        image = np.array(stage.frame(now - 1))
        cursor = np.min([column(image, now, offset) for offset in (-1, 0, 1)], axis=0)
        assert (cursor < 100).all()  # dark from top to bottom
        for x in {30, 75, 120} - {now}:
            shown = column(image, x)
            colours = [rgb(style.colour) for style in OPERATION_STYLES]
            full = [any(np.abs(pixel - colour).max() <= 2 for colour in colours)
                    for pixel in shown]
            assert np.mean(full) > 0.9 if x < now else np.mean(full) < 0.1
    mean, valid = stage.marked(74)
    assert mean == pytest.approx(sample.batch_accuracy[25:75].mean())
    assert valid == pytest.approx((0.04 + 0.09) / 2)
    assert np.isnan(stage.marked(10)[1])  # before the first evaluation


def test_nodes_have_the_colours_of_the_pictures(sample):
    image = np.array(Stage(sample, DARK, dpi=120).frame(0))
    for colour in {OPERATION_STYLES[op].colour for op in sample.architectures[0].ops}:
        same = np.abs(image[:, :540, :3].astype(int) - rgb(colour)).max(axis=2) <= 1
        assert same.sum() > 1000
    assert image[2, 2, :3].tolist() == rgb(DARK.background)


@pytest.mark.parametrize("layers, count", [(1, 1), (2, 3), (24, 2)])
def test_any_number_of_layers_and_no_accuracies(layers, count):
    rng = np.random.default_rng(0)
    history = SearchHistory(
        tuple(Architecture.random(layers, rng) for _ in range(count)), np.full(count, np.nan),
        np.zeros(0), np.zeros(0))
    stage = Stage(history, dpi=80)
    assert stage.size == (640, 360)
    assert np.asarray(stage.frame(count - 1)).shape == (360, 640, 4)
    assert stage.marked(0) == []


@pytest.mark.parametrize("count, every", [(10, 1), (10, 3), (9, 3), (1, 5)])
def test_the_last_architecture_has_a_frame(count, every):
    indices = animation.frame_indices(count, every)
    assert indices[-1] == count - 1 and len(indices) == -(-count // every)


# --- files -----------------------------------------------------------------------------

def test_mp4_plays_in_browsers(sample, tmp_path):
    path = tmp_path / "search.mp4"
    assert animation.save_mp4(short(sample, 25), path, every=2, fps=10) == 13
    content = path.read_bytes()
    assert content[4:8] == b"ftyp" and content.index(b"moov") < content.index(b"mdat")
    reader = imageio_ffmpeg.read_frames(str(path))
    about = next(reader)
    assert (about["codec"], about["size"], about["fps"]) == ("h264", (960, 540), 10)
    assert about["pix_fmt"].startswith("yuv420p")
    frames = [np.frombuffer(frame, np.uint8).reshape(540, 960, 3).astype(int) for frame in reader]
    assert len(frames) == 13
    stage = Stage(short(sample, 25), dpi=120)
    for index, frame in zip((0, 24), (frames[0], frames[-1])):
        difference = np.abs(frame - np.asarray(stage.frame(index))[..., :3])
        assert np.median(difference) <= 1 and np.mean(difference) < 3
    for colour in {OPERATION_STYLES[op].colour for op in sample.architectures[0].ops}:
        assert (np.abs(frames[0] - rgb(colour)).max(axis=2) <= 6).sum() > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["search.mp4"]


def test_gif(sample, tmp_path):
    path = tmp_path / "search.gif"
    assert animation.save_gif(sample, path, every=10, fps=5) == 15
    with Image.open(path) as image:
        assert (image.n_frames, image.size, image.info["loop"]) == (15, (640, 360), 0)
        assert image.info["duration"] == 200
        image.seek(14)
        shown = np.asarray(image.convert("RGB"), int)
    expected = np.asarray(Stage(sample, dpi=80).frame(149))[..., :3]
    assert np.abs(shown - expected).mean() < 2
    assert list(tmp_path.iterdir()) == [path]


def test_gif_keeps_to_its_limits(sample, tmp_path, monkeypatch):
    monkeypatch.setattr(animation, "GIF_FRAMES", 20)
    assert animation.save_gif(sample, tmp_path / "a.gif") == 19  # every 8th
    limit = (tmp_path / "a.gif").stat().st_size * 2 // 3
    monkeypatch.setattr(animation, "GIF_BYTES", limit)
    assert 5 < animation.save_gif(sample, tmp_path / "b.gif") < 19
    assert (tmp_path / "b.gif").stat().st_size <= limit


def test_what_ffmpeg_refuses_leaves_the_old_file(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_bytes(b"old")
    with pytest.raises(video_file.VideoError, match="ffmpeg: "):
        video_file.write_mp4(path, [bytes(5 * 5 * 4)] * 3, (5, 5), 10)  # odd sides
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupted_film_leaves_nothing(tmp_path):
    def frames():
        yield bytes(64 * 64 * 4)
        raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        video_file.write_mp4(tmp_path / "film.mp4", frames(), (64, 64), 10)
    assert list(tmp_path.iterdir()) == []


# --- the command -----------------------------------------------------------------------

def test_a_pdf_is_drawn_without_chatter(tmp_path):
    result = subprocess.run(
        [sys.executable, "-m", "AEROBI.cli", "draw", "--architecture", SHIPPED,
         "--output", "one.pdf"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS.parent / "src")})
    assert (result.returncode, result.stdout, result.stderr) == (0, "one.pdf\n", "")


def test_the_command_draws_one_architecture(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS.parent / "src")}
    result = subprocess.run(
        [sys.executable, "-m", "AEROBI.cli", "draw", "--architecture", SHIPPED,
         "--output", "a/one.svg", "--title", "shipped"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (0, f"{pathlib.Path('a/one.svg')}\n")
    assert SHIPPED in (tmp_path / "a" / "one.svg").read_text()


def test_command_draws_films_and_pictures(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert draw.main([str(SAMPLE), "--every", "75", "--formats", "mp4", "png"]) == 0
    assert sorted(path.name for path in (tmp_path / "drawings").iterdir()) == [
        "architecture_0075.png", "architecture_0150.png", "search.mp4"]
    assert "search.mp4  2 frames" in capsys.readouterr().out
    assert Image.open("drawings/architecture_0150.png").size[0] == 1200


def test_command_draws_in_dark_and_in_few_colours(tmp_path):
    output = tmp_path / "one.png"
    assert draw.main(["--architecture", ENAS_1, "--dark", "--optimise",
                             "--output", str(output)]) == 0
    image = Image.open(io.BytesIO(output.read_bytes()))
    assert image.mode == "P"
    assert np.abs(np.subtract(image.convert("RGB").getpixel((3, 3)), rgb("#15181d"))).max() <= 3


@pytest.mark.parametrize("arguments, words", [
    ([], "--architecture"),
    (["nowhere"], "nowhere: no such file"),
    (["empty"], "empty: neither stdout nor"),
    (["final.log"], "final.log: no architectures"),
    (["bad.txt"], "bad.txt, line 2: architecture, layer 1: operation 9"),
    (["npy/arc_string_output.txt"], "valid_accuracy_array.npy: not an array"),
    ([str(SAMPLE), "--arc-length", "6"], "--arc-length"),
    ([str(SAMPLE), "--every", "50", "--output", "final.log/drawings"], "final.log"),
    ([str(SAMPLE), "--output", "folder.mp4"], "folder.mp4: is a folder"),
    ([str(SAMPLE), "--output", "x.png"], "name a folder"),
    ([str(SAMPLE), "--output", "x.mp4", "--formats", "gif"], "one file of one format"),
    ([str(SAMPLE), "--title", "x"], "--title: of one architecture only"),
    ([str(SAMPLE), "--architecture", "0"], "not both"),
    (["--architecture", "0 1"], "2 numbers"),
    (["--architecture", ""], "no numbers"),
    (["--architecture", "0 7 1"], "layer 1: operation 7"),
    (["--architecture", "0 1 1", "--arc-length", "3"], "3 layers"),
    (["--architecture", "0", "--formats", "mp4"], "makes no film"),
    (["--architecture", "0", "--every", "2"], "--every: of a search only"),
])
def test_errors_are_one_line(arguments, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("empty", "npy", "folder.mp4"):
        (tmp_path / folder).mkdir()
    (tmp_path / "final.log").write_text("Epoch 1: Eval\nvalid_accuracy: 0.5000\n")
    (tmp_path / "bad.txt").write_text("0 1 1\n0 9 1\n")
    (tmp_path / "npy" / "arc_string_output.txt").write_text("0\n")
    (tmp_path / "npy" / "valid_accuracy_array.npy").write_text("hello")
    before = sorted(tmp_path.rglob("*"))
    assert draw.main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == "" and output.err.count("\n") == 1 and words in output.err, output.err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("option", ["--every=0", "--fps=nan", "--fps=x", "--arc-length=-1"])
def test_numbers_out_of_range(option, capsys):
    with pytest.raises(SystemExit) as stopped:
        draw.main([str(SAMPLE), option])
    assert stopped.value.code == 2 and "is not a" in capsys.readouterr().err


@pytest.mark.parametrize("library", ["matplotlib", "networkx", "imageio_ffmpeg"])
def test_without_an_optional_library(library, tmp_path):
    (tmp_path / f"{library}.py").write_text("raise ImportError('No such module')")
    result = subprocess.run(
        [sys.executable, "-m", "AEROBI.cli", "draw", str(SAMPLE), "--output", "x.mp4",
         "--every", "100"], cwd=tmp_path, capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{SCRIPTS.parent / 'src'}"})
    assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
    assert f"{library} cannot be imported" in result.stderr and "'.[viz]'" in result.stderr
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".mp4"] == []
