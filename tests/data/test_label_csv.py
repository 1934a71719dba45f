"""A CSV file with a column per class; every fault names the file, the line and the column."""

import os
import shutil

import numpy as np
import pytest
from codebrim_tree import assert_is_tree, edit, write_csv, write_tree

from AEROBI.data.csv_table import PATH_COLUMNS, SPLIT_COLUMNS
from AEROBI.data.data_set import LONGEST_NAME
from AEROBI.data_utils import SPLITS, DataError, data_root, read_data_set

NAMES = ("Rust", "Moss", "Wet")


@pytest.fixture
def tree(tmp_path):
    """A tree without XML files."""
    tree = write_tree(tmp_path / "own", folders=("a", "b"), tags=NAMES)
    shutil.rmtree(tree.root / "metadata")
    return tree


@pytest.fixture
def table(tree):
    return write_csv(tree, classes=NAMES)


def rewrite(table, change):
    """Replaces the rows, lists of cells, by what `change` makes of them."""
    rows = [line.split(",") for line in table.read_text().splitlines()]
    table.write_text("".join(",".join(row) + "\n" for row in change(rows)))


def with_column(table, *cells):
    """Adds a column, its name first; the last cell is that of all further rows."""
    rewrite(table, lambda rows: [[*row, cells[min(i, len(cells) - 1)]]
                                 for i, row in enumerate(rows)])


def fails(table, *parts):
    """The message of the DataError, one line that begins with the file and holds all `parts`."""
    with pytest.raises(DataError) as raised:
        read_data_set(str(table))
    message = str(raised.value)
    assert message.startswith(f"{table}: ") and "\n" not in message
    for part in parts:
        assert str(part) in message, message


# --- what is read ----------------------------------------------------------------------


def test_every_image_with_its_labels(tree, table, caplog):
    for data_path in (table, tree.root):
        data_set = read_data_set(str(data_path))
        assert_is_tree(data_set, tree)
        assert data_set.root == data_root(str(data_path)) == str(tree.root)
        assert data_set.class_names == NAMES
        assert data_set.label_files == (str(table),) and data_set.source == str(table)
    assert not caplog.records


def test_the_order_of_the_rows_does_not_matter(tree, table):
    rewrite(table, lambda rows: [rows[0], *rows[:0:-1]])
    assert_is_tree(read_data_set(str(table)), tree)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_as_programs_write_it(tree, table, delimiter, encoding, end):
    names = ("Risse, groß; \"tief\"", "Moos", "漢字 %s {x}")
    quoted = ['"' + name.replace('"', '""') + '"' for name in names]
    rows = [line.replace(",", delimiter) for line in table.read_text().splitlines()[1:]]
    rows.insert(0, delimiter.join(("img_path", "split_type", *quoted)))
    text = end.join(["", *rows[:3], "", *rows[3:], delimiter * 4])
    table.write_bytes(text.encode(encoding))
    data_set = read_data_set(str(table))
    assert data_set.class_names == names
    assert_is_tree(data_set, tree)


@pytest.mark.parametrize("column, split", [
    *((column, "split_type") for column in (*PATH_COLUMNS, "File_Name")),
    *(("img_path", split) for split in (*SPLIT_COLUMNS, " Split"))])
def test_names_of_the_columns(tree, table, column, split):
    edit(table, "img_path,split_type", f"{column},{split}")
    assert_is_tree(read_data_set(str(table)), tree)


def test_other_spellings_of_values(tree, table):
    for old, new in ((",val,", ",Valid,"), (",val,", ",validation,"), (",val,", ", dev ,"),
                     (",test,", ",TEST,"), (",0", ", 0.0"), (",1", ",1.0"), (",1,", ", 1 ,")):
        edit(table, old, new)
    assert_is_tree(read_data_set(str(table)), tree)


def test_a_tsv_file_and_a_name_in_capitals(tree, table):
    for name in ("labels.tsv", "LABELS.CSV"):
        table = table.rename(tree.root / name)
        (tree.root / "._labels.csv").touch()
        assert_is_tree(read_data_set(str(tree.root)), tree)


def test_columns_that_are_no_classes_are_named_once(tree, table, caplog):
    caplog.set_level("INFO")
    with_column(table, "inspector", "Ada", "1", "")
    with_column(table, "", *"0123456789")
    with_column(table, "number", *"0123456789")
    data_set = read_data_set(str(table))
    assert data_set.class_names == NAMES
    assert_is_tree(data_set, tree)
    message, = caplog.messages
    assert message == (f"{table}: columns that are no classes, ignored: inspector, number 7 "
                       "(no name), number")


@pytest.mark.parametrize("moved", [True, False])
def test_the_folder_column(tree, table, moved):
    """In bikit's form `folder` is below the CSV file and img_name below `folder`."""
    if moved:
        (tree.root / "photos").mkdir()
        for split in SPLITS:
            (tree.root / split).rename(tree.root / "photos" / split)
        images, labels = ({f"photos/{name}": value for name, value in old.items()}
                          for old in (tree.images, tree.labels))
        tree = tree._replace(images=images, labels=labels)
    with_column(table, "folder", "photos")
    edit(table, "img_path", "img_name")
    data_set = read_data_set(str(table))
    assert [len(data_set.splits[split].paths) for split in SPLITS] == [5, 3, 2]
    for split in data_set.splits.values():
        for path, labels in zip(split.paths, split.labels):
            assert tuple(labels) == tree.labels[os.path.relpath(path, tree.root)]


def test_one_class(tree, table):
    rewrite(table, lambda rows: [row[:3] for row in rows])
    data_set = read_data_set(str(table))
    assert data_set.class_names == NAMES[:1]
    assert data_set.splits["test"].labels.shape == (2, 1)


def test_many_rows(tree, table):
    """More than one read of the file; few images, or there would be no end."""
    images = [os.path.join(str(tree.root), f"{i}.png") for i in range(3)]
    for split, image in zip(SPLITS, images):
        shutil.copy(tree.root / tree.of(split)[0], image)
    rng = np.random.default_rng(0)
    flags = rng.integers(2, size=(3, 12))
    rows = [f"{i % 3}.png,{SPLITS[i % 3]}," + ",".join(map(str, flags[i % 3]))
            for i in range(20_000)]
    classes = ",".join(f"class {i}" for i in range(12))
    table.write_text("\n".join([f"image,split,{classes}", *rows]))
    data_set = read_data_set(str(table))
    for split, image, labels in zip(SPLITS, images, flags):
        assert data_set.splits[split].paths == (image,)
        np.testing.assert_array_equal(data_set.splits[split].labels, [labels])


# --- the file --------------------------------------------------------------------------


def test_two_files_in_a_folder(tree, table):
    shutil.copy(table, tree.root / "other.csv")
    with pytest.raises(DataError, match=r"several CSV files \(labels.csv, other.csv\)"):
        read_data_set(str(tree.root))
    assert_is_tree(read_data_set(str(table)), tree)


def test_label_files_in_xml_come_first(tmp_path):
    tree = write_tree(tmp_path / "data")
    table = write_csv(tree)
    table.write_text(table.read_text().replace("Crack", "Rust"))
    assert "Crack" in read_data_set(str(tree.root)).class_names
    assert "Rust" in read_data_set(str(table)).class_names


@pytest.mark.parametrize("name", ["labels.xlsx", "labels"])
def test_another_kind_of_file(table, name):
    table = table.rename(table.with_name(name))
    fails(table, "not a folder", ".csv")


@pytest.mark.parametrize("content, parts", [
    (b"", ["is empty"]), (b"\n \n", ["is empty"]),
    (b"PK\x03\x04\0\0", ["line 1 is no text"]),
    ("img_path,split\nä".encode("latin1"), ["line 2 is no text in UTF-8"]),
    ("img_path,split\n".encode("utf-16"), ["line 1 is no text"]),
    (b"a" * (2 ** 20 + 1), ["line 1 is longer"]),
    (b"a,split\n" + b"b" * 2 ** 21, ["no column that names the image", "a, split"]),
    (b"img_path;split;Rust\n", ["has no rows"]),
    (b"img_path;split\nx.png;train\n", ["no class columns"]),
    (b'img_path,split,"Rust\n', ["line 1", "quotes"])])
def test_a_file_without_a_table(table, content, parts):
    table.write_bytes(content)
    fails(table, *parts)


def test_a_file_that_leaves_the_folder(table):
    outside = table.parent.parent / "outside.csv"
    table.rename(outside)
    table.symlink_to(outside)
    fails(table, outside, "leaves the data folder")


def test_damage_anywhere_is_an_error_or_harmless(table):
    whole, rng = table.read_bytes(), np.random.default_rng(0)
    outcomes = set()
    for position in rng.integers(len(whole), size=300):
        damaged = bytearray(whole)
        damaged[position:position + 2] = rng.choice(list(b'",;\t\r\n\x00\xff01a/.'), 2).tolist()
        table.write_bytes(damaged)
        try:
            labels = read_data_set(str(table)).splits["val"].labels
            outcomes.add(labels.max() <= 1)
        except DataError as error:
            outcomes.add(str(table) in str(error))
    assert outcomes == {True}


# --- columns ---------------------------------------------------------------------------


def test_missing_columns(table):
    text = table.read_text()
    edit(table, "img_path", "picture")
    fails(table, "line 1", "no column that names the image file", "img_path or img_name",
          "separated by commas: picture, split_type, Rust, Moss, Wet")
    table.write_text(text)
    edit(table, "split_type", "part")
    fails(table, "line 1", "no column that says train, val or test", "split_type or split")


def test_no_class_columns(table):
    rewrite(table, lambda rows: [row[:2] for row in rows])
    fails(table, "no class columns")
    with_column(table, "Rust", "yes")
    fails(table, "no class columns", "line 2, column Rust: 'yes'")


@pytest.mark.parametrize("value", ["2", "", "-1", "x", "0,5", "true"])
def test_a_value_that_is_not_0_or_1(table, value):
    with_column(table, "Salt", "0", "1", f'"{value}"', "0")
    fails(table, f"line 4, column Salt: {value!r}, expected 0 or 1")


@pytest.mark.parametrize("name, parts", [
    ("Rust", ["'Rust' is there twice"]),
    ("x" * (LONGEST_NAME + 1), ["101 characters"]),
    ("a\x1b[31m", ["'a\\x1b[31m'", "control"]), ("a\u2028b", ["'a\\u2028b'", "control"])])
def test_class_names_that_cannot_be_used(table, name, parts):
    with_column(table, name, "0")
    fails(table, "line 1", *parts)


def test_the_longest_class_name(table):
    with_column(table, "x" * LONGEST_NAME, "0")
    assert read_data_set(str(table)).class_names[-1] == "x" * LONGEST_NAME


# --- rows ------------------------------------------------------------------------------


def test_an_unknown_split(table):
    edit(table, ",val,", ",trial,")
    fails(table, "line 7, column split_type: 'trial', expected train or val or test")


def test_a_row_with_another_number_of_cells(table):
    edit(table, ",val,", ",val,0,")
    fails(table, "line 7: 6 cells, but 5 columns in line 1")


@pytest.mark.parametrize("cell", ['"val', '"val"x'])
def test_quotes_that_do_not_match(table, cell):
    edit(table, ",val,", f",{cell},")
    fails(table, "line ", "check the quotes")


@pytest.mark.parametrize("split", SPLITS)
def test_empty_split(tree, table, split):
    rewrite(table, lambda rows: [row for row in rows if row[1] != split])
    fails(table, f"the split {split} has no images")


def duplicate(table, name, *cells):
    with open(table, "a") as file:
        file.write(",".join((str(name), *cells)) + "\n")


@pytest.mark.parametrize("alias", ["same", "dots", "absolute", "link", "linked folder"])
def test_an_image_in_two_splits(tree, table, alias):
    name = tree.of("val")[0]
    os.symlink(tree.root / name, tree.root / "link.png")
    os.symlink(tree.root / "val", tree.root / "folder")
    names = {"same": name, "dots": f"./train/../{name}", "absolute": tree.root / name,
             "link": "link.png", "linked folder": name.replace("val/", "folder/")}
    duplicate(table, names[alias], "train", "0", "0", "0")
    fails(table, "line 12, column img_path", "is already in line 7, there for val, here for train",
          "two splits")


def test_an_image_twice_in_a_split(tree, table, caplog):
    name = tree.of("val")[0]
    flags = tuple(map(str, tree.labels[name]))
    duplicate(table, name, "val", *flags)
    assert_is_tree(read_data_set(str(table)), tree)
    assert f"{table}: 1 rows list an image again" in caplog.text
    duplicate(table, name, "val", flags[0], str(1 - int(flags[1])), flags[2])
    fails(table, "line 13", "already in line 7 with another Moss")


# --- images ----------------------------------------------------------------------------


def of_image(tree, table, name):
    """The first row gets another image."""
    edit(table, tree.of("train")[0], str(name))


@pytest.mark.parametrize("name, part", [
    ("gone.png", "no such image file"), ("", "no file name"), ("train", "is not a file"),
    ("../x.png", "leaves the data folder"), ("/etc/hostname", "leaves the data folder"),
    ("a/../../own2/x.png", "leaves the data folder"), ("train/x.png/y.png", "no such image"),
    ("a\x1b[31m.png", "control characters"), ("a\x0c.png", "control characters")])
def test_an_image_that_is_not_there(tree, table, name, part):
    of_image(tree, table, name)
    fails(table, "line 2, column img_path", part)


def test_an_image_that_is_nowhere_below_its_folder(tree, table):
    with_column(table, "folder", "photos")
    of_image(tree, table, "x.png")
    fails(table, "line 2", f"{tree.root}/photos/x.png or {tree.root}/x.png")
    edit(table, "photos", "../photos")
    fails(table, "line 2", tree.root.parent / "photos", "leaves the data folder")


@pytest.mark.parametrize("what", ["image", "folder"])
def test_a_link_that_leaves_the_folder(tree, table, what):
    path = tree.root / tree.of("train")[0] if what == "image" else tree.root / "train"
    outside = tree.root.parent / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    fails(table, "line 2", path, outside, "leaves the data folder")


def test_a_broken_link(tree, table):
    (tree.root / "x.png").symlink_to(tree.root / "nothing")
    of_image(tree, table, "x.png")
    fails(table, "line 2", "broken link")


def test_links_inside_the_folder(tree, table):
    path = tree.root / tree.of("train")[0]
    path.rename(tree.root / "store")
    path.symlink_to(tree.root / "store")
    link = tree.root.parent / "link"
    link.symlink_to(tree.root)
    absolute = tree.of("val")[0]
    edit(table, absolute, str(tree.root / absolute))  # below `link`, too
    assert_is_tree(read_data_set(str(link)), tree._replace(root=link))


def test_an_image_of_another_type(tree, table):
    (tree.root / "x.TIF").touch()
    of_image(tree, table, "x.TIF")
    fails(table, "line 2, column img_path", ".tif images are not read")
