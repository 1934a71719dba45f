"""Files that are replaced as a whole, or grow line by line."""

import pathlib

import pytest

from AEROBI.run.append_file import AppendFile
from AEROBI.run.whole_files import replace_files


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_several_files_are_replaced_together_or_not_at_all(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "missing" / "bad"
    good.write_text("old")
    with pytest.raises(FileNotFoundError):
        replace_files({good: b"new", bad: b"new"})
    assert contents(tmp_path) == {"good": b"old"}
    bad.parent.mkdir()
    replace_files({good: b"new", bad: b"new"})
    assert contents(tmp_path) == {"good": b"new", "bad": b"new"}


def test_a_full_disk_is_an_error():
    file = AppendFile(pathlib.Path("/dev/full"))
    with pytest.raises(OSError):
        file.write("x\n")
    file.close()
