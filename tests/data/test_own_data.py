"""Trees of folders with other names and classes than CODEBRIM's; the real program on own data."""

import json
import re

import pytest
import tiny_run
from codebrim_tree import (
    FOLDERS,
    assert_is_tree,
    edit,
    fails,
    first_defect,
    flags_of,
    label_file,
    write_labels,
    write_tree,
)

from AEROBI.data.data_set import LONGEST_NAME
from AEROBI.data_utils import CLASS_NAMES, SPLITS, data_root, read_data_set
from AEROBI.records import split_predictions

NAMES = ("Sound", "Rust", "Moss")


@pytest.fixture
def own(tmp_path):
    """CODEBRIM's folders, other classes."""
    return write_tree(tmp_path / "own", tags=NAMES)


# --- classes ---------------------------------------------------------------------------


@pytest.mark.parametrize("names", [
    NAMES, ("Moss",), ("Rust", "Übermaß", "a-b.c_d"), (*CLASS_NAMES, "Wet"), CLASS_NAMES[2:],
    ("Rust", "Moss", "Wet", "Hole", "Joint", "Paint")])
def test_the_elements_are_the_classes(tmp_path, names, caplog):
    tree = write_tree(tmp_path / "own", tags=names)
    data_set = read_data_set(str(tree.root))
    assert data_set.class_names == names
    assert_is_tree(data_set, tree)
    assert not caplog.records


def test_own_flags_by_name_in_any_order_and_name_space(own):
    flags = {name: values[::-1] for name, values in flags_of(own, "defects").items()}
    write_labels(own.root, "defects", flags, NAMES[::-1])
    for folder in FOLDERS:
        edit(label_file(own, folder), "<Annotation>", '<Annotation xmlns="http://a.b/c">')
    data_set = read_data_set(str(own.root))
    assert data_set.class_names == NAMES
    assert_is_tree(data_set, own)


@pytest.mark.parametrize("folder, crop", [("background", 0), ("defects", -1)])
def test_a_typo_in_one_crop_is_its_fault(own, folder, crop):
    """Also in the very first one, from which the names might have been taken."""
    name = list(flags_of(own, folder))[crop]
    path = label_file(own, folder)
    lines = [line.replace("Rust>", "Rost>") if name in line else line
             for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines))
    fails(own, f"{path}: {name} has no flag Rust but rost; expected Sound, Rust, Moss")


def test_a_typo_in_one_crop_of_codebrim(tmp_path):
    tree = write_tree(tmp_path / "data")
    edit(label_file(tree), "Crack>", "Crak>", 2)
    fails(tree, label_file(tree), first_defect(tree).name, "no flag Crack but crak",
          ", ".join(CLASS_NAMES), "all six")


def test_files_with_different_classes(own):
    write_labels(own.root, "background", flags_of(own, "background"), ("Sound", "Rust", "Wet"))
    fails(own, label_file(own, "background"), "crop_0000001.png has no flag Moss but wet",
          "same element names")


def test_another_number_of_classes(own):
    edit(label_file(own), "<Rust>", "<Wet>0</Wet><Rust>")
    fails(own, label_file(own), first_defect(own).name, "has 4 flags, expected 3: Sound, Rust")


@pytest.mark.parametrize("names, part", [
    (("Rust", "rust", "Moss"), "'rust' is there twice"),
    (("flag",) * 4, "'flag' is there twice"),
    (("x" * (LONGEST_NAME + 1),), "101 characters"),
    ((), "no classes")])
def test_names_that_are_none(own, names, part):
    for folder in FOLDERS:
        flags = {name: (0,) * len(names) for name in flags_of(own, folder)}
        write_labels(own.root, folder, flags, names)
    fails(own, label_file(own, "background"), "crop_0000001.png", part)


@pytest.mark.parametrize("tags", [["flag"] * 6, [f"label_{i}" for i in range(6)]])
def test_elements_without_names_are_those_of_codebrim(tmp_path, tags, caplog):
    tree = write_tree(tmp_path / "data", tags=tags)
    data_set = read_data_set(str(tree.root))
    assert data_set.class_names == CLASS_NAMES
    assert_is_tree(data_set, tree)
    assert f"read in the order {', '.join(CLASS_NAMES)}" in caplog.text


# --- folders ---------------------------------------------------------------------------


@pytest.mark.parametrize("folders", [
    ("only",), ("east", "west"), ("defects",), ("background", "defects", "extra")])
def test_folders_by_the_names_of_the_label_files(tmp_path, folders):
    tree = write_tree(tmp_path / "own", folders=folders, tags=NAMES)
    data_set = read_data_set(str(tree.root))
    assert data_set.class_names == NAMES
    assert_is_tree(data_set, tree)
    assert data_set.label_files == tuple(
        str(label_file(tree, folder)) for folder in sorted(folders))
    assert data_set.source == data_set.root == data_root(str(tree.root)) == str(tree.root)


def test_numbered_classes_are_classes_in_own_folders(tmp_path):
    names = tuple(f"class{i}" for i in range(6))
    tree = write_tree(tmp_path / "own", folders=("all",), tags=names)
    assert read_data_set(str(tree.root)).class_names == names


def test_a_label_file_without_its_folders(own):
    write_labels(own.root, "extra", {})
    fails(own, own.root / "train/extra", "no such folder", "{background,defects,extra}")


def test_a_folder_without_a_label_file_is_named(own, caplog):
    (own.root / "val/extra").mkdir()
    (own.root / "val/.cache").mkdir()
    assert_is_tree(read_data_set(str(own.root)), own)
    message, = caplog.messages
    assert str(own.root / "val/extra") in message and "extra.xml" in message


def test_metadata_without_label_files(own):
    for folder in FOLDERS:
        label_file(own, folder).unlink()
    fails(own, label_file(own, "background"), "no such label file")


# --- the real program ------------------------------------------------------------------


def last_record(run_dir):
    return json.loads((run_dir / "metrics.jsonl").read_text().splitlines()[-1])


def test_a_final_training_on_a_csv_file(tmp_path):
    """One of the names looks like a line of the log, one is not ASCII."""
    data = tiny_run.make_data(tmp_path / "set")
    names = ("Rostfahne, groß", "val_acc=0.9", "Moss %s {0}")
    images = sorted(path.relative_to(data) for path in data.glob("*/*/*.png"))
    rows = [f"{path}\t{path.parts[0]}\t{i % 2}\t{i // 2 % 2}\t{i // 4 % 2}"
            for i, path in enumerate(images)]
    table = data / "labels.csv"
    table.write_text("\n".join(["\t".join(("img_name", "split_type", *names)), *rows]))
    run_dir = tmp_path / "run"
    output = tiny_run.run({**tiny_run.SHALLOW_FINAL, "data_path": table, "output_dir": run_dir,
                           "cache_dir": tmp_path / "cache", "num_epochs": 1})
    assert ["split", "images", *" ".join(names).split()] in map(str.split, output.splitlines())
    record = last_record(run_dir)
    assert tuple(record["labels"]) == names and record["images"] == tiny_run.SIZES.test
    kept = split_predictions.load(run_dir / "predictions_test.npz")
    assert kept.class_names == names and kept.logits.shape == (tiny_run.SIZES.test, 3)
    assert all((data / path).is_file() for path in kept.paths) and data_root(table) == str(data)


def test_a_search_on_other_elements(tmp_path):
    data = tiny_run.make_data(tmp_path / "set")
    for split in SPLITS:
        for old, new in zip(FOLDERS, ("dry", "wet")):
            (data / split / old).rename(data / split / new)
    for old, new in zip(FOLDERS, ("dry", "wet")):
        path = (data / f"metadata/{old}.xml").rename(data / f"metadata/{new}.xml")
        text = re.sub(r"\s*<(Spallation|Efflorescence|ExposedBars)>\d</\1>", "", path.read_text())
        path.write_text(re.sub(r"CorrosionStain(?=>)", "Rust", text))
    run_dir = tmp_path / "run"
    tiny_run.run({**tiny_run.SHALLOW_SEARCH, "data_path": data, "output_dir": run_dir,
                  "cache_dir": tmp_path / "cache", "num_epochs": 1})
    record = last_record(run_dir)
    assert tuple(record["labels"]) == ("Background", "Crack", "Rust")
    assert record["images"] == tiny_run.SIZES.test
