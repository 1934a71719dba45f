"""CODEBRIM on disk -> names and labels; every fault names the file."""

import logging
import shutil

import numpy as np
import pytest
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

from AEROBI.data_utils import CLASS_NAMES, SPLITS, DataError, log_summary, read_data_set


@pytest.fixture
def tree(tmp_path):
    return write_tree(tmp_path / "data")


# --- what is read ----------------------------------------------------------------------


def test_every_image_with_its_labels(tree, caplog):
    data_set = read_data_set(str(tree.root))
    assert_is_tree(data_set, tree)
    assert data_set.root == str(tree.root)
    assert data_set.class_names == CLASS_NAMES
    assert data_set.label_files == tuple(str(label_file(tree, folder)) for folder in FOLDERS)
    assert not caplog.records


def test_home_and_slash(tree, monkeypatch):
    monkeypatch.setenv("HOME", str(tree.root.parent))
    assert read_data_set("~/data/").root == str(tree.root)


def test_flags_by_name_in_any_order_case_and_name_space(tree):
    order = (3, 0, 5, 1, 4, 2)
    flags = {name: [values[i] for i in order] for name, values in flags_of(tree, "defects").items()}
    write_labels(tree.root, "defects", flags, [CLASS_NAMES[i].upper() for i in order])
    edit(label_file(tree), "<Annotation>", '<Annotation xmlns="http://a.b/c"><!-- by hand -->')
    assert_is_tree(read_data_set(str(tree.root)), tree)


def test_flags_by_order_without_names(tree, caplog):
    write_labels(tree.root, "defects", flags_of(tree, "defects"), [f"l{i}" for i in range(6)])
    assert_is_tree(read_data_set(str(tree.root)), tree)
    count = len(flags_of(tree, "defects"))
    assert f"{label_file(tree)}: {count} entries without label names" in caplog.text


def test_copies_have_the_labels_of_the_original(tree):
    original = first_defect(tree)
    copy = original.with_name(f"{original.stem}_-_a_-_2.PNG")
    shutil.copy(original, copy)
    train = read_data_set(str(tree.root)).splits["train"]
    pair = [train.paths.index(str(path)) for path in (original, copy)]
    np.testing.assert_array_equal(*train.labels[pair])


def test_a_copy_may_have_its_own_labels(tree):
    original = first_defect(tree)
    copy = original.with_name(f"{original.stem}_-_2.png")
    shutil.copy(original, copy)
    own = (0, 1, 1, 1, 1, 1)
    write_labels(tree.root, "defects", flags_of(tree, "defects") | {copy.name: own})
    train = read_data_set(str(tree.root)).splits["train"]
    assert tuple(train.labels[train.paths.index(str(copy))]) == own


def test_other_files_are_no_images(tree, caplog):
    for name in (".DS_Store", "._x.png", "Thumbs.db", "readme.txt"):
        first_defect(tree).with_name(name).write_bytes(b"")
    folder = first_defect(tree).with_name("more")
    folder.mkdir()
    assert_is_tree(read_data_set(str(tree.root)), tree)
    assert f"{folder}: a folder where images are expected" in caplog.text


def test_labels_without_an_image_are_a_warning_with_count(tree, caplog):
    first_defect(tree).unlink()
    write_labels(tree.root, "background", flags_of(tree, "background") | {
        f"gone_{i}.png": (1, 0, 0, 0, 0, 0) for i in range(3)})
    read_data_set(str(tree.root))
    assert f"{label_file(tree)}: 1 labels without an image" in caplog.text
    assert f"{label_file(tree, 'background')}: 3 labels without an image" in caplog.text


def test_summary(tree, caplog):
    caplog.set_level(logging.INFO)
    log_summary(read_data_set(str(tree.root)))
    rows = [record.getMessage().split() for record in caplog.records]
    assert rows[0] == ["split", "images", *CLASS_NAMES]
    for row, split in zip(rows[1:], SPLITS, strict=True):
        labels = np.array([tree.labels[name] for name in tree.of(split)])
        assert row == [split, str(len(labels)), *map(str, labels.sum(0))]


# --- folders ---------------------------------------------------------------------------


def test_no_such_folder(tree):
    fails(tree._replace(root=tree.root / "typo"), tree.root / "typo", "--data_path")


def test_empty_data_path():
    with pytest.raises(DataError, match="--data_path is empty"):
        read_data_set("")


def test_a_file_instead_of_a_folder(tree):
    fails(tree._replace(root=label_file(tree)), label_file(tree), "not a folder")


@pytest.mark.parametrize("missing", ["val", "test/defects", "metadata"])
def test_missing_folder(tree, missing):
    shutil.rmtree(tree.root / missing)
    fails(tree, tree.root / missing, "no such folder", "found in")


def test_split_without_images(tree):
    for name in tree.of("val"):
        (tree.root / name).unlink()
    fails(tree, tree.root / "val", "no images")


def test_image_without_labels(tree):
    extra = first_defect(tree).with_name("extra.png")
    shutil.copy(first_defect(tree), extra)
    fails(tree, extra, label_file(tree), "no labels")


def test_image_of_another_type(tree):
    other = first_defect(tree).with_suffix(".TIFF")
    other.write_bytes(b"")
    fails(tree, other, ".tiff images are not read")


# --- links -----------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["train", "val/defects", "metadata", "metadata/defects.xml",
                                  "image"])
def test_link_that_leaves_the_folder(tree, part):
    path = first_defect(tree) if part == "image" else tree.root / part
    outside = tree.root.parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    fails(tree, path, outside, "leaves the data folder")


def test_links_inside_the_folder(tree):
    path = first_defect(tree)
    path.rename(tree.root / "store")
    path.symlink_to(tree.root / "store")
    link = tree.root.parent / "link"
    link.symlink_to(tree.root)
    assert_is_tree(read_data_set(str(link)), tree._replace(root=link))


@pytest.mark.parametrize("target", ["nothing", None])
def test_broken_link(tree, target):
    path = first_defect(tree)
    path.unlink()
    path.symlink_to(tree.root / target if target else path)
    fails(tree, path, "broken link")


# --- label files -----------------------------------------------------------------------


def test_missing_label_file(tree):
    label_file(tree).unlink()
    fails(tree, label_file(tree), "no such label file")


def test_folder_in_place_of_a_label_file(tree):
    label_file(tree).unlink()
    label_file(tree).mkdir()
    fails(tree, label_file(tree))


@pytest.mark.parametrize("text", [
    b"", b"<Annotation><Defect>", b"\x00\xff\xfe", b'<?xml version="1.0" encoding="no"?><a/>',
    b'<?xml version="1.0" encoding="utf-8"?><a>\xff</a>'])
def test_malformed_xml(tree, text):
    label_file(tree).write_bytes(text)
    fails(tree, label_file(tree), "not well-formed XML")


@pytest.mark.parametrize("entity", ['a "boom"', 'a SYSTEM "file:///etc/hostname"'])
def test_entities_are_refused(tree, entity):
    edit(label_file(tree), "<Annotation>", f"<!DOCTYPE x [<!ENTITY {entity}>]>\n<Annotation>")
    fails(tree, label_file(tree), "entities")


def test_entry_without_a_name(tree):
    edit(label_file(tree), "name=", "title=")
    fails(tree, label_file(tree), "entry 1 has no name")


@pytest.mark.parametrize("change", [
    ("<Crack>", "<Extra>0</Extra><Crack>"), ("<Background>0</Background>", "")])
def test_wrong_number_of_flags(tree, change):
    edit(label_file(tree), *change)
    fails(tree, label_file(tree), first_defect(tree).name, "flags, expected 6")


def test_some_flags_without_a_known_name(tree):
    edit(label_file(tree), "Background>", "Nothing>", 2)
    fails(tree, label_file(tree), first_defect(tree).name, "no flag Background")


@pytest.mark.parametrize("value", ["2", "-1", "", "yes", "1.0"])
def test_flag_that_is_not_0_or_1(tree, value):
    edit(label_file(tree), "<Background>0<", f"<Background>{value}<")
    fails(tree, label_file(tree), first_defect(tree).name, f"Background is '{value}'")


def test_duplicate_names(tree):
    name = first_defect(tree).name
    flags = flags_of(tree, "defects")
    write_labels(tree.root, "defects", flags | {name.replace(".png", ".PNG"): flags[name]})
    assert_is_tree(read_data_set(str(tree.root)), tree)
    other = (1 - flags[name][0], *flags[name][1:])
    write_labels(tree.root, "defects", flags | {name.replace(".png", ".PNG"): other})
    fails(tree, label_file(tree), first_defect(tree).stem, "listed twice")
