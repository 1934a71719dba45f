"""Files from anywhere: labels, images, packed images, what runs leave. Said in a line, or used."""

import io
import json

import numpy as np
import pytest
from codebrim_tree import write_csv, write_tree
from fuzzing import NASTY, damaged, examples, tree_of
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from report_runs import write_final, write_ranking, write_search

from AEROBI.config import ConfigError
from AEROBI.data import packed_images
from AEROBI.data.image_files import decode, scaled_size
from AEROBI.data_utils import DataError, DataSet, read_data_set
from AEROBI.flags import table as flags
from AEROBI.flags.from_run_dir import stored_run
from AEROBI.prediction import photos
from AEROBI.records import ranking, split_predictions
from AEROBI.records.run_records import read_run

SIDE, LARGEST = 24, 4_000_000


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_tree(tmp_path_factory.mktemp("data") / "set")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The files of two small runs, by name."""
    folder = tmp_path_factory.mktemp("runs")
    write_search(folder / "search")
    write_final(folder / "final")
    write_ranking(folder / "search")
    return {path.name: path.read_bytes() for name in ("search", "final")
            for path in (folder / name).iterdir() if path.is_file()}


def read(path) -> None:
    """Reads a data set; what is wrong with it is one DataError."""
    try:
        data_set = read_data_set(str(path))
    except DataError as error:
        assert 0 < len(str(error)) < 5000
        return
    assert isinstance(data_set, DataSet)
    root = str(path if path.is_dir() else path.parent)
    for split in data_set.splits.values():
        assert split.labels.shape == (len(split.paths), len(data_set.class_names))
        assert np.isin(split.labels, (0, 1)).all()
        assert all(file.startswith(root) for file in split.paths)


# --- labels ----------------------------------------------------------------------------

XML = st.sampled_from([
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b"><!ENTITY c "&a;&a;">]><x>&c;</x>',
    b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><x/>', b"<x" * 3000, b"<a>" * 3000 + b"</a>" * 3000,
    b'<?xml version="1.0" encoding="utf-7"?><x/>', b'<?xml version="1.0" encoding="no"?><x/>',
    b"\xff\xfe<\x00x\x00/\x00>\x00", b"<Annotation></Annotation>", b"<x><y/><y name=''/></x>",
    b"<x><y name='../../../etc/passwd'><Crack>1</Crack></y></x>",
    b"<x><!-- --><?pi?><y name='a'><!-- --><Crack>1</Crack></y></x>"])


@examples(150)
@given(data=st.data())
def test_xml(tree, data):
    path = tree.root / "metadata" / "defects.xml"
    whole = path.read_bytes()
    try:
        path.write_bytes(data.draw(st.one_of(XML, st.binary(max_size=60), damaged(whole))))
        read(tree.root)
    finally:
        path.write_bytes(whole)


CELLS = st.one_of(NASTY, st.text(max_size=8), st.sampled_from([
    "train", "val", "0", "1", "img_path", "folder", "/etc/passwd", "../../x.png", "x.png", '"',
    "train/background", "1.0", "label"]))


@examples(150)
@given(data=st.data())
def test_csv(tree, data):
    path = write_csv(tree)
    rows = path.read_text().splitlines()
    table = st.lists(st.one_of(st.sampled_from(rows), st.lists(CELLS, max_size=9).map(",".join)),
                     max_size=12).map("\n".join)
    content = data.draw(st.one_of(
        damaged(path.read_bytes()), table.map(lambda text: text.encode("utf-8", "surrogatepass")),
        table.map(lambda text: (rows[0] + "\n" + text).encode("utf-8", "surrogatepass"))))
    path.write_bytes(content)
    try:
        read(path)
    finally:
        path.unlink()


# --- images ----------------------------------------------------------------------------


def encoded(kind: str, **options) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (21, 30, 3), np.uint8)
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def png_of_size(width: int, height: int) -> bytes:
    """The header says so, and nothing follows it."""
    import struct
    import zlib
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head
            + struct.pack(">I", zlib.crc32(head)))


IMAGES = [encoded("PNG"), encoded("PNG", optimize=True), encoded("JPEG"),
          encoded("JPEG", progressive=True)]


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return tmp_path_factory.mktemp("image") / "x.png"


@examples(300)
@given(st.one_of(st.sampled_from(IMAGES).flatmap(damaged), st.binary(max_size=64),
                 st.builds(png_of_size, st.integers(0, 2 ** 31), st.integers(0, 2 ** 31)),
                 st.sampled_from([encoded("GIF"), encoded("TIFF"), encoded("BMP")])))
@example(png_of_size(2 ** 31 - 1, 2 ** 31 - 1))
@example(png_of_size(8000, 8000))
def test_images(image, content):
    image.write_bytes(content)
    try:
        size = scaled_size(str(image), SIDE)
        assert min(size) == SIDE
        if size[0] * size[1] < LARGEST:
            assert decode(str(image), size).shape == (*size, 3)
    except DataError as error:
        assert str(image) in str(error)


@examples(100)
@given(st.one_of(st.sampled_from(IMAGES).flatmap(damaged),
                 st.builds(png_of_size, st.integers(0, 2 ** 31), st.integers(0, 2 ** 31))))
def test_photographs(image, content):
    image.write_bytes(content)
    try:
        photo = photos.read_photo(str(image))
        if photo.width * photo.height < LARGEST:
            assert photos.patch(photo, SIDE).shape == (SIDE, SIDE, 3)
    except photos.PhotoError as error:
        assert str(error)


@examples(100)
@given(st.one_of(st.binary(max_size=200), st.lists(NASTY, max_size=5).map(
    lambda names: "\n".join(names).encode("utf-8", "surrogatepass"))))
def test_lists_of_photographs(content):
    try:
        names = list(photos.read_list(io.BytesIO(content)))
        list(photos.find([name for name in names if name.startswith("no")]))
    except photos.PhotoError as error:
        assert str(error)


# --- packed images ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def packed(tree, tmp_path_factory):
    """Data set, cache folder, packed file, its bytes and the pixels that belong to it."""
    cache = tmp_path_factory.mktemp("cache") / "here"
    data_set = read_data_set(str(tree.root))
    splits = packed_images.open_packed(data_set, SIDE, str(cache))
    file, = cache.iterdir()
    return data_set, cache, file, file.read_bytes(), pixels_of(splits)


def pixels_of(splits) -> dict[str, list[bytes]]:
    return {name: [split.image(i).tobytes() for i in range(len(split.labels))]
            for name, split in splits.items()}


@examples(60)
@given(data=st.data())
def test_headers_of_packed_images(packed, data):
    """HDF5's own structures; the pixels have their test in test_packed_images.py."""
    data_set, cache, file, whole, expected = packed
    file.write_bytes(data.draw(st.one_of(damaged(whole, most=4096), st.binary(max_size=99))))
    assert pixels_of(packed_images.open_packed(data_set, SIDE, str(cache))) == expected
    assert [path.name for path in cache.parent.rglob("*")] == ["here", file.name]


# --- what runs leave -------------------------------------------------------------------

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-10 ** 30, 10 ** 30), st.floats(), NASTY,
              st.text(max_size=9)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.text(max_size=6), inner, max_size=3), max_leaves=8)


@st.composite
def changed(draw, record):
    """A JSON object with some of its values replaced, at any depth."""
    record = dict(record)
    for key in draw(st.lists(st.sampled_from(sorted(record) or ["x"]), min_size=1, max_size=3)):
        inner = record.get(key)
        record[key] = draw(changed(inner) if isinstance(inner, dict) and inner else JSON)
    return record


@st.composite
def json_lines(draw, whole):
    """The lines of a file, some of them changed."""
    lines = whole.decode().splitlines()
    for i in draw(st.lists(st.sampled_from(range(len(lines))), max_size=4)) if lines else ():
        lines[i] = json.dumps(draw(changed(json.loads(lines[i])))) if lines[i][:1] == "{" else ""
    return "".join(line + "\n" for line in lines).encode("utf-8", "surrogatepass")


def variants(name, whole):
    if name.endswith(".jsonl"):
        return st.one_of(damaged(whole), json_lines(whole))
    if name.endswith(".json"):
        return st.one_of(damaged(whole), JSON.map(lambda value: json.dumps(value).encode()),
                         changed(json.loads(whole)).map(lambda value: json.dumps(value).encode()))
    return st.one_of(damaged(whole), st.binary(max_size=60))


@examples(150)
@given(data=st.data())
def test_run_folders(run, tmp_path_factory, data):
    """Read as a report reads them: what is wrong becomes a note."""
    folder = tmp_path_factory.getbasetemp() / "fuzzed_run"
    folder.mkdir(exist_ok=True)
    for name, content in run.items():
        (folder / name).write_bytes(content)
    name = data.draw(st.sampled_from(sorted(run)))
    (folder / name).write_bytes(data.draw(variants(name, run[name])))
    before = tree_of(folder)
    records = read_run(folder)
    assert records.epochs_done >= 0 and records.kind in ("search", "final", "")
    records.best_evaluation()
    assert tree_of(folder) == before


@examples(150)
@given(data=st.data())
def test_configurations(tmp_path_factory, data):
    """config.json as `predict`, `select` and others read it."""
    folder = tmp_path_factory.getbasetemp() / "configured"
    folder.mkdir(exist_ok=True)
    values = flags.record(flags.parse(["--data_path=x", "--controller_search_whole_channels"]))
    record = {"configuration": {**values, "class_names": ["a", "b"]}}
    configurations = changed(record["configuration"]).map(lambda value: {"configuration": value})
    (folder / "config.json").write_text(json.dumps(data.draw(st.one_of(
        configurations, changed(record), JSON))))
    try:
        run = stored_run(folder)
    except ConfigError as error:
        assert str(error)
    else:
        assert run.config.child.num_classes == len(run.class_names)


@examples(100)
@given(data=st.data())
def test_predictions_and_rankings(run, tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "one_file"
    name, load, error_type = data.draw(st.sampled_from([
        ("predictions_val.npz", split_predictions.load, split_predictions.PredictionsError),
        ("architectures.json", ranking.load, ranking.RankingError)]))
    path.write_bytes(data.draw(variants(name, run[name])))
    try:
        load(path)
    except error_type as error:
        assert str(path) in str(error)
