"""The command: rows in three forms, heat maps, exit statuses, bounded memory."""

import csv
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tracemalloc
import weakref

import numpy as np
import pytest
from codebrim_tree import smooth_image
from colour_classifier import ColourClassifier
from PIL import Image
from tiny_run import FINAL, make_data, run

from AEROBI.commands.predict import main
from AEROBI.prediction import heat_map, scan
from AEROBI.prediction.output import FORMS, OutputError, Row, open_output
from AEROBI.prediction.photos import find, patch, read_photo
from AEROBI.prediction.picture_folder import PictureFolder
from AEROBI.prediction.scan import Job, predict
from AEROBI.trained.classifier import open_classifier
from AEROBI.trained.overrides import Overrides

NAMES = ("Red", "Green", "Blue")


def colour_job(**options):
    return Job(ColourClassifier(), ColourClassifier.thresholds, **options)


def picture(folder, name, colour=(120, 120, 120), size=(40, 30)):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(folder / name)


def rows(folder, job):
    return list(predict(find([str(folder)]), job))


# --- photographs → rows ----------------------------------------------------------------


def test_batches_go_across_photographs_and_the_order_is_kept(tmp_path, caplog):
    for number in range(23):
        picture(tmp_path, f"{number:02}.png", (10 * number, 0, 0))
    (tmp_path / "05b.png").write_bytes(b"no image")
    (tmp_path / "24.tif").write_bytes(b"")
    job = colour_job(batch_size=5)
    found = rows(tmp_path, job)
    assert [pathlib.Path(row.path).name for row in found] == [f"{k:02}.png" for k in range(23)]
    assert job.classifier.batches == [5, 5, 5, 5, 3]
    reds = [row.probabilities[0] for row in found]
    assert (np.diff(reds) >= 0).all() and reds[0] < 0.01 and reds[-1] > 0.99
    assert job.skipped == 2
    assert "05b.png" in caplog.messages[0] and "24.tif" in caplog.messages[1]


@pytest.mark.parametrize("maps", [False, True])
def test_few_photographs_are_held_at_once(tmp_path, monkeypatch, maps):
    living, most = 0, 0

    def counted(path):
        nonlocal living, most
        photo = read_photo(path)
        living += 1
        most = max(most, living)
        weakref.finalize(photo, died)
        return photo

    def died():
        nonlocal living
        living -= 1

    monkeypatch.setattr(scan, "read_photo", counted)
    monkeypatch.setattr(scan.os, "cpu_count", lambda: 3)
    picture(tmp_path, "photos/0.png")
    for number in range(1, 6 if maps else 400):
        os.link(tmp_path / "photos/0.png", tmp_path / f"photos/{number}.png")
    folder = PictureFolder(str(tmp_path / "maps"), False) if maps else None
    found = rows(tmp_path / "photos", colour_job(pictures=folder))
    assert len(found) == (6 if maps else 400)
    assert most <= 3 and living == 0


def test_a_large_folder_needs_no_more_memory_than_a_small_one(tmp_path):
    picture(tmp_path, "large/0.png", size=(24, 24))
    for number in range(1, 3000):
        os.link(tmp_path / "large/0.png", tmp_path / f"large/{number}.png")
    (tmp_path / "small").mkdir()
    for number in range(100):
        os.link(tmp_path / "large/0.png", tmp_path / f"small/{number}.png")
    peaks = {}
    for name in ("small", "small", "large"):  # the first time is for what is loaded once
        tracemalloc.start()
        count = sum(1 for _ in predict(find([str(tmp_path / name)]), colour_job()))
        peaks[name] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count == 3000
    # A patch is 1728 bytes; the names of a folder are held, 200 bytes each at most.
    assert peaks["large"] - peaks["small"] < 3000 * 400


# --- heat maps -------------------------------------------------------------------------


@pytest.fixture
def big(tmp_path):
    """A grey photograph with a red spot of 60 px, its centre at x = 430, y = 110."""
    grey = 100 + smooth_image(300, 600, np.random.default_rng(0)).mean(axis=2) / 8
    image = np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)
    image[80:140, 400:460] = (220, 30, 30)
    (tmp_path / "photos/bridge").mkdir(parents=True)
    Image.fromarray(image).save(tmp_path / "photos/bridge/pier 1.png")
    return tmp_path


def test_the_heat_map_peaks_where_the_defect_is(big, monkeypatch):
    scenes = []
    draw = heat_map.draw_sheet
    monkeypatch.setattr(heat_map, "draw_sheet", lambda scene: scenes.append(scene) or draw(scene))
    job = colour_job(pictures=PictureFolder(str(big / "maps"), False), stride=15)
    row, = rows(big / "photos", job)
    values = scenes[0].heat_map.values[..., 0]
    y, x = np.unravel_index(values.argmax(), values.shape)
    assert abs(scenes[0].heat_map.y[y] - 110) < 20 and abs(scenes[0].heat_map.x[x] - 430) < 20
    left, top, right, bottom = row.boxes[0]
    assert left <= 410 and right >= 450 and top <= 90 and bottom >= 130  # nearly all of it
    assert right - left == 75  # a quarter of the shorter side
    assert row.probabilities[0] > 0.9 and row.probabilities[1:].max() < 0.01
    assert (big / "maps/bridge/pier 1.png").stat().st_size > 10_000


def test_a_row_has_the_largest_probability_of_the_windows(big):
    job = colour_job(pictures=PictureFolder(str(big / "maps"), False), per_class=True)
    row, = rows(big / "photos", job)
    photo, whole = read_photo(row.path), ColourClassifier()
    boxes = [whole.probabilities(patch(photo.crop(box), 24)[None])[0, k]
             for k, box in enumerate(row.boxes)]
    np.testing.assert_array_equal(row.probabilities, boxes)
    assert whole.probabilities(patch(photo, 24)[None])[0, 0] < 0.1  # too small for one patch
    assert sorted(path.name for path in (big / "maps/bridge").iterdir()) == [
        f"pier 1.{name}.png" for name in sorted(NAMES)]


def test_too_many_windows_skip_the_photograph(big, caplog):
    picture(big / "photos", "small.png")
    job = colour_job(pictures=PictureFolder(str(big / "maps"), False), patch_size=24, stride=1)
    found = rows(big / "photos", job)
    assert [pathlib.Path(row.path).name for row in found] == ["small.png"]
    assert job.skipped == 1 and "--stride" in caplog.text and "pier 1.png" in caplog.text


def test_a_folder_with_the_name_of_a_picture(tmp_path, caplog):
    """x.jpg is drawn as x.png, which is a folder's name here; and z.png somebody else's folder."""
    for name in ("x.jpg", "x.png/y.jpg", "x.png_/y.jpg", "z.jpg"):
        picture(tmp_path / "photos", name)
    (tmp_path / "maps/z.png").mkdir(parents=True)
    job = colour_job(pictures=PictureFolder(str(tmp_path / "maps"), True))
    assert len(rows(tmp_path / "photos", job)) == 3
    assert sorted(str(path.relative_to(tmp_path / "maps")) for path in
                  (tmp_path / "maps").rglob("*") if path.is_file()) == [
        "x.png", "x.png_/y.jpg.png", "x.png_/y.png"]
    assert job.skipped == 1
    assert f"{tmp_path}/photos/z.jpg: " in caplog.text and "maps/z.png: " in caplog.text


def test_what_is_skipped_is_named(tmp_path, caplog):
    """Of one that is too long and narrow only its patch can tell."""
    picture(tmp_path / "photos", "long.png", size=(100_000, 8))
    job = colour_job()
    job.classifier.img_size = 200
    assert rows(tmp_path / "photos", job) == [] and job.skipped == 1
    assert f"Skipped: {tmp_path}/photos/long.png: " in caplog.text


# --- forms -----------------------------------------------------------------------------

ROW = Row("a,\"b\"\n\r;c.png", np.float32([0.5, 0.123456789, 1e-9]), [(1, 2, 3, 4)] * 3)


def written(form, *some, names=NAMES):
    file = io.StringIO()
    writer = FORMS[form](file, names, np.float32([0.5, 0.1, 0.5]))
    writer.header()
    for row in some:
        writer.row(row)
    return file.getvalue()


def test_table():
    long = ("Red", "Efflorescence", "x" * 300)
    header, first, second = written("table", ROW, ROW._replace(path="d.png"),
                                    names=long).splitlines()
    assert header == "   Red  Efflorescence  " + "x" * 15 + "…  image"
    assert first == " 0.50*          0.12*             0.00   a,\"b\"\\n\\r;c.png"
    assert second.endswith(" d.png") and second.index("d.png") == first.index("a,")


def test_csv_is_read_back_as_it_was():
    header, row = csv.reader(io.StringIO(written("csv", ROW), newline=""))
    assert header == ["path", *NAMES]
    assert row == [ROW.path, "0.5", "0.123457", "0.0"]


def test_json_lines():
    line, = written("jsonl", ROW).splitlines()
    assert json.loads(line) == {
        "path": ROW.path, "probabilities": {"Red": 0.5, "Green": 0.123457, "Blue": 0.0},
        "labels": ["Red", "Green"], "boxes": {name: [1, 2, 3, 4] for name in NAMES}}
    assert "boxes" not in json.loads(written("jsonl", ROW._replace(boxes=None)))


def test_an_output_is_there_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x.csv"
    with pytest.raises(KeyError), open_output(path, False) as file:
        file.write("half")
        raise KeyError
    assert not any(tmp_path.iterdir())
    with open_output(path, False) as file:
        file.write("\udce4\n")
    assert path.read_bytes() == b"\xe4\n" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputError, match="--force"), open_output(path, False):
        pass
    path.chmod(0o640)
    with open_output(path, True) as file:
        file.write("new")
    assert path.read_text() == "new" and path.stat().st_mode & 0o777 == 0o640
    with pytest.raises(OutputError, match="no file"), open_output(tmp_path, True):
        pass


def test_what_somebody_else_wrote_meanwhile_stays(tmp_path):
    path = tmp_path / "x.csv"
    with pytest.raises(OutputError, match="--force"), open_output(path, False) as file:
        file.write("mine")
        path.write_text("theirs")
    assert path.read_text() == "theirs" and list(tmp_path.iterdir()) == [path]


# --- the command, with a network -------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A run of the final training, and the data it had."""
    folder = tmp_path_factory.mktemp("run")
    data = make_data(folder / "data")
    run({**FINAL, "num_epochs": 1, "data_path": data, "output_dir": folder / "run",
         "cache_dir": folder / "cache"})
    return folder


def predicted(capfd, *words):
    """Exit status, standard output and error of the command."""
    status = main([str(word) for word in words])
    output = capfd.readouterr()
    return status, output.out, output.err


def test_the_command_from_end_to_end(model, tmp_path):
    words = [sys.executable, "-m", "AEROBI.cli", "predict", model / "run", "--format", "jsonl",
             model / "data/test"]
    result = subprocess.run(list(map(str, words)), capture_output=True, text=True, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["path"] for record in records] == sorted(
        map(str, (model / "data/test").rglob("*.png")))
    with open_classifier(model / "run", Overrides()) as network:
        patches = np.stack([patch(read_photo(record["path"]), 16) for record in records])
        expected = network.probabilities(patches)
        assert tuple(records[0]["probabilities"]) == network.class_names
    found = [list(record["probabilities"].values()) for record in records]
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_exit_statuses(model, tmp_path, capfd):
    picture(tmp_path, "a.png")
    assert predicted(capfd, model / "run", tmp_path)[0] == 0
    (tmp_path / "b.png").write_bytes(b"")
    status, out, err = predicted(capfd, model / "run", tmp_path, "--threshold", 0)
    assert status == 1 and out.count("\n") == 2 and out.count("*") == 6
    assert f"Skipped: {tmp_path}/b.png: neither PNG nor JPEG\n" in err
    target = tmp_path / "x.csv"
    status, out, err = predicted(capfd, model / "run", tmp_path / "b.png", "--format", "csv",
                                 "--output", target)
    assert status == 2 and out == "" and "no photograph could be read" in err
    assert not target.exists()
    (tmp_path / "empty").mkdir()
    status, out, err = predicted(capfd, model / "run", tmp_path / "empty")
    assert status == 2 and out == "" and "no PNG or JPEG there" in err


def test_lists_and_standard_input(model, tmp_path, capfd, monkeypatch):
    for name in ("a b.png", "c.png", "d.png"):
        picture(tmp_path, name)
    (tmp_path / "list.txt").write_text("c.png\n\nd.png\n")
    (tmp_path / "in.txt").write_text("a b.png\ngone.png\n")
    monkeypatch.chdir(tmp_path)
    with open("in.txt") as file:
        monkeypatch.setattr(sys, "stdin", file)
        status, out, err = predicted(capfd, model / "run", "--format", "csv", "-", "--from_list",
                                     "list.txt")
    assert [row["path"] for row in csv.DictReader(io.StringIO(out))] == [
        "a b.png", "c.png", "d.png"]
    assert status == 1 and "gone.png: No such file" in err


def test_heat_maps_of_a_folder_in_itself(model, tmp_path, capfd):
    for name in ("a.png", "sub/a.png"):
        picture(tmp_path, name)
    words = (model / "run", tmp_path, "--heat_maps", tmp_path / "maps", "--format", "jsonl")
    status, out, err = predicted(capfd, *words)
    assert status == 0, err
    assert out.count("\n") == 2 and json.loads(out.splitlines()[0])["boxes"]["Crack"]
    maps = sorted(str(path.relative_to(tmp_path)) for path in (tmp_path / "maps").rglob("*.png"))
    assert maps == ["maps/a.png", "maps/sub/a.png"]
    assert predicted(capfd, *words)[0] == 2  # what is there already stays
    status, out, _ = predicted(capfd, *words, "--force")
    assert status == 0 and out.count("\n") == 2  # the maps are no photographs


@pytest.mark.parametrize("words, part", [
    (("model",), "no photographs"),
    (("model", "gone.png"), "gone.png: no such file"),
    (("model", "a.png"), "model: no such run directory"),
    (("model", "--from_list", "gone.txt"), "--from_list gone.txt"),
    (("model", "a.png", "--stride", "5"), "need --heat_maps"),
    (("model", "a.png", "--heat_maps", "."), "name another one"),
    (("model", "a.png", "--heat_maps", "a.png"), "name another one"),
    (("model", "a.png", "--heat_maps", "m", "--patch_size", "5", "--stride", "6"), "gaps"),
    (("model", "a.png", "--output", "a.png"), "--force"),
    (("model", "a.png", "--output", "no/such/x.csv"), "No such file")])
def test_wrong_usage_is_one_line(tmp_path, capfd, monkeypatch, words, part):
    monkeypatch.chdir(tmp_path)
    picture(tmp_path, "a.png")
    status, out, err = predicted(capfd, *words)
    assert status == 2 and out == "" and part in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("words", [
    ("m", "a.png", "--threshold", "nan"), ("m", "a.png", "--threshold", "2"),
    ("m", "a.png", "--batch_size", "0"), ("m", "a.png", "--format", "xml"), ()])
def test_wrong_flags(capfd, words):
    with pytest.raises(SystemExit) as raised:
        main(list(words))
    assert raised.value.code == 2 and "error:" in capfd.readouterr().err


def test_a_reader_that_goes_away(model, tmp_path, capfd, monkeypatch):
    picture(tmp_path, "a.png")
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        assert main([str(model / "run"), str(tmp_path)]) == 141
    assert capfd.readouterr().err == ""


class SignalAfter(io.BytesIO):
    """A list of files; who reads to its end is sent a signal."""

    def __init__(self, lines, number):
        super().__init__(lines)
        self.buffer, self._number = self, number  # as of sys.stdin

    def readline(self, size=-1):
        line = super().readline(size)
        if not line:
            signal.raise_signal(self._number)
        return line


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_in_the_middle(model, tmp_path, capfd, monkeypatch, number, status):
    picture(tmp_path, "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", SignalAfter(b"a.png\n" * 200, number))
    before = signal.getsignal(signal.SIGTERM)
    try:
        found = main([str(model / "run"), "-", "--batch_size", "2", "--output", "x.csv"])
    except SystemExit as error:
        found = error.code
    assert found == status and signal.getsignal(signal.SIGTERM) == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert capfd.readouterr().err == (
        "Stopped; x.csv was not written.\n" if number == signal.SIGINT else "")
