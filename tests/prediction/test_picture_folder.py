"""File names of heat maps: they stay in their folder, and none is given twice."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from AEROBI.prediction.photos import Found
from AEROBI.prediction.picture_folder import (
    HeatMapError,
    PictureFolder,
    distinct_file_names,
    file_name,
)


@given(st.text(min_size=1) | st.sampled_from(["..", "../../x", "/etc/passwd", "a\0b", "C:\\x"]))
def test_any_text_gives_a_plain_file_name(text):
    name = file_name(text)
    assert name and not name.startswith(".") and len(os.fsencode(name)) <= 128
    assert not set(name) & set('/\\:\0\n"<>|?*')


def places(folder, *names):
    return [str(folder.place(Found("/x/" + name, name))) for name in names]


def test_folders_are_mirrored_and_nothing_is_overwritten(tmp_path):
    folder, root = PictureFolder(str(tmp_path / "maps"), False), str(tmp_path / "maps")
    found = places(folder, "a.jpg", "b/a.jpg", "a.png", "a.png", "A.jpg", "b:c/a.jpg", "b_c/a.jpg")
    assert found == [f"{root}/{name}" for name in (
        "a", "b/a", "a.png", "a.png-2", "A.jpg", "b_c/a", "b_c/a.jpg")]
    assert len({name.casefold() for name in found}) == len(found)


def test_long_names_that_differ_in_the_middle_stay_apart(tmp_path):
    folder = PictureFolder(str(tmp_path), False)
    names = ["x" * 100 + letter + "y" * 100 + ".jpg" for letter in "abc"]
    found = places(folder, *names)
    assert len(set(found)) == 3
    folder.write(folder.place(Found("x", names[0])).with_suffix(".png"), b"")


def test_a_folder_in_use_needs_force(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(HeatMapError, match=r"not empty.*--force"):
        PictureFolder(str(tmp_path), False)
    with pytest.raises(HeatMapError, match="is a file"):
        PictureFolder(str(tmp_path / "notes.txt"), True)
    folder = PictureFolder(str(tmp_path), True)
    folder.write(tmp_path / "b" / "a.png", b"png")
    assert (tmp_path / "b/a.png").read_bytes() == b"png"
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "maps").mkdir()
    (tmp_path / "maps/sub").symlink_to("../outside")
    folder = PictureFolder(str(tmp_path / "maps"), True)
    with pytest.raises(HeatMapError, match="leaves the folder"):
        folder.write(folder.place(Found("x", "sub/a.jpg")).with_suffix(".png"), b"")
    assert not any((tmp_path / "outside").iterdir())


def test_classes_whose_names_differ_in_signs_have_files_of_their_own():
    names = distinct_file_names(["a/b", "a:b", "A_b", "a_b-2", "c"])
    assert names[0] == "a_b" and names[-1] == "c"
    assert len({name.casefold() for name in names}) == 5
    assert not any(set(name) & set("/:") for name in names)
