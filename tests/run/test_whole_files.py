"""Files that are replaced as a whole, or grow line by line."""

import os
import pathlib
import stat

import pytest

from AEROBI.run import whole_files
from AEROBI.run.append_file import AppendFile
from AEROBI.run.whole_files import (
    is_temporary,
    new_file,
    new_folder,
    replace_file,
    replace_files,
)


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


def test_no_planted_link_is_followed(tmp_path, monkeypatch):
    precious, target = tmp_path / "precious", tmp_path / "report.html"
    precious.write_text("precious")
    (tmp_path / "report.html.tmp").symlink_to(precious)
    replace_file(target, b"new")
    monkeypatch.setattr(whole_files.secrets, "token_hex", lambda size: "0" * 2 * size)
    (tmp_path / f"report.html.{'0' * 16}.tmp").symlink_to(precious)  # by a lucky guess
    with pytest.raises(FileExistsError):
        replace_file(target, b"newer")
    assert precious.read_text() == "precious" and target.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_stays_of_what_was_interrupted(tmp_path, error):
    (tmp_path / "file").write_text("old")
    with pytest.raises(error), new_file(tmp_path / "file") as file:
        file.write(b"half")
        raise error
    with pytest.raises(error), new_folder(tmp_path / "folder") as folder:
        (folder / "inner").mkdir()
        raise error
    assert contents(tmp_path) == {"file": b"old"} and len(list(tmp_path.iterdir())) == 1


def test_a_file_by_its_name_and_a_folder(tmp_path):
    with new_file(tmp_path / "film") as file:
        assert is_temporary(pathlib.Path(file.name).name, "film")
        pathlib.Path(file.name).write_bytes(b"by another program")
    (tmp_path / "folder").mkdir()  # empty: as good as none
    with new_folder(tmp_path / "folder") as folder:
        (folder / "model").write_bytes(b"x")
    assert contents(tmp_path) == {"film": b"by another program", "model": b"x"}
    with pytest.raises(OSError), new_folder(tmp_path / "folder") as folder:
        (folder / "other").write_bytes(b"y")
    assert contents(tmp_path) == {"film": b"by another program", "model": b"x"}


def test_permissions_are_those_of_any_new_file_or_of_the_old_one(tmp_path):
    (tmp_path / "plain").touch()
    replace_file(tmp_path / "new", b"")
    assert os.stat(tmp_path / "new").st_mode == os.stat(tmp_path / "plain").st_mode
    (tmp_path / "new").chmod(0o600)
    replace_file(tmp_path / "new", b"x")
    assert stat.S_IMODE(os.stat(tmp_path / "new").st_mode) == 0o600


def test_the_longest_name(tmp_path):
    name = "ä" * 127
    replace_file(tmp_path / name, b"x")
    assert contents(tmp_path) == {name: b"x"}
