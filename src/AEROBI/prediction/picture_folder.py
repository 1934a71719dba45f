"""The folder of heat maps: a file name for every photograph and class, none of them twice."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from AEROBI.prediction.photos import Found, PhotoError, shown
from AEROBI.run.whole_files import replace_file

LONGEST_NAME = 120  # bytes of a file name's part


class HeatMapError(ValueError):
    """Heat maps cannot be drawn; the message says what to do."""


class PictureFolder:
    """A folder whose files have the names of photographs, below the same subfolders."""

    def __init__(self, folder: str, force: bool):
        """Looks whether the folder will do; `make` makes it.

        Args:
            force: it may hold files already, and those of the same names are overwritten.

        Raises:
            HeatMapError: it is not empty, or no folder.
        """
        folder = Path(folder)
        if folder.exists() and not folder.is_dir():
            raise HeatMapError(f"--heat_maps {folder}: is a file; name a folder")
        if not force and folder.is_dir() and any(folder.iterdir()):
            raise HeatMapError(f"--heat_maps {folder}: is not empty; name a new folder, or "
                               "overwrite pictures in it with --force")
        self._root = folder.resolve()
        self._used: set[str] = set()

    def make(self) -> None:
        """Makes the folder, or raises OSError."""
        self._root.mkdir(parents=True, exist_ok=True)

    def place(self, found: Found) -> Path:
        """The file for a photograph, without its suffix; never the same twice.

        a/b.jpg gives a/b; where a/b.png gave that already, a/b.jpg; then a/b.jpg-2. A folder
        whose name ends as a picture's gets another end: b.png/ beside b.jpg would be its picture.
        """
        *folders, name = found.below.split(os.sep)
        parent = self._root.joinpath(*map(_folder_name, folders))
        stem = os.path.splitext(name)[0]
        candidates = (stem, name, *(f"{name}-{k}" for k in range(2, len(self._used) + 3)))
        for candidate in candidates:
            path = parent / file_name(candidate)
            # Some file systems take A.png and a.png for the same.
            key = str(path).casefold()
            if key not in self._used:
                self._used.add(key)
                return path
        raise AssertionError("more names than were used")

    def write(self, path: Path, png: bytes) -> None:
        """Writes a picture in one piece.

        Raises:
            HeatMapError: a link leads out of the folder.
            PhotoError: a file or folder of somebody else is in its way.
            OSError: it cannot be written.
        """
        if not path.parent.resolve().is_relative_to(self._root):
            raise HeatMapError(f"{shown(str(path.parent))}: is a link that leaves the folder of "
                               "the heat maps; remove it")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, png)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            raise PhotoError(f"{shown(str(path))}: a file or folder there is in the way of the "
                             "heat map; remove it, or name another folder") from None


def file_name(text: str) -> str:
    """A file name from any text: no separators, no control characters, not too long."""
    name = re.sub(r'[\x00-\x1f\x7f<>:"/\\|?*]', "_", text)
    name = re.sub(r"^\.+", lambda dots: "_" * len(dots[0]), name) or "_"
    return name if len(os.fsencode(name)) <= LONGEST_NAME else _shortened(name)


def _folder_name(text: str) -> str:
    name = file_name(text)
    return f"{name}_" if name.casefold().endswith(".png") else name


def distinct_file_names(texts: Sequence[str]) -> list[str]:
    """`file_name` of each; with -2, -3 and so on where two would be one file, as of a/b and a:b."""
    names: list[str] = []
    used: set[str] = set()  # some file systems take A and a for the same
    for text in texts:
        name, number = file_name(text), 1
        while name.casefold() in used:
            number += 1
            name = f"{file_name(text)}-{number}"
        used.add(name.casefold())
        names.append(name)
    return names


def _shortened(name: str) -> str:
    """Its beginning and its end, within LONGEST_NAME bytes; names stay apart by `place`."""
    coded = os.fsencode(name)
    half = LONGEST_NAME // 2 - 2
    return os.fsdecode(coded[:half]) + "..." + os.fsdecode(coded[-half:])
