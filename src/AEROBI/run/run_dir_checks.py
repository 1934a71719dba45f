"""Whether a folder may become, or go on as, a run's: new, resumed, emptied or refused.

Only here are files of a user removed, and only from a folder that is recognisably a run's: its
config.json has the mark of this package, and nothing lies there but what runs write, by name.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from AEROBI.run.append_file import AppendFile
from AEROBI.run.file_lock import Lock, lock_file
from AEROBI.run.regular_files import read_json
from AEROBI.run.whole_files import replace_file
from AEROBI.run.written_names import foreign_in_checkpoints, foreign_in_events, is_left_behind

LOG, METRICS, ARCHITECTURES = "stdout", "metrics.jsonl", "architectures.jsonl"
CONFIG, VERSIONS, BEST_ARCHITECTURE_FILE = "config.json", "versions.json", "best_architecture.txt"
CHECKPOINTS, BEST_CHECKPOINT_DIR, EVENTS = "checkpoints", "best", "events"
RANKING, REPORT = "architectures.json", "report.html"
HALVING = "halving"  # real trainings of a search's candidates; too dear to be reset with it
PREDICTIONS = tuple(f"predictions_{split}.npz" for split in ("val", "test"))
VIDEO = ("search.mp4", "search.gif")

_REPLACED = frozenset((
    CONFIG, VERSIONS, BEST_ARCHITECTURE_FILE, RANKING, REPORT, *PREDICTIONS, *VIDEO))
_FILES = frozenset((LOG, METRICS, ARCHITECTURES, *_REPLACED))
_FOLDERS = {CHECKPOINTS: foreign_in_checkpoints, BEST_CHECKPOINT_DIR: foreign_in_checkpoints,
            EVENTS: foreign_in_events}
_MARK = "AEROBI run"


class RunDirectoryError(ValueError):
    """A folder that a run must not use; the message names it and the way out."""


class Settings(NamedTuple):
    """What a run wants from its folder."""

    config: dict[str, Any]  # flag name -> JSON value
    reset: bool  # start over, whatever the folder holds of an earlier run
    may_change: frozenset[str]  # flags that need not be the same when a run is resumed
    defaults: Mapping[str, Any]  # of flags that an older run lacks


def prepare(path: Path, settings: Settings) -> bool:
    """Makes `path` the folder of a run with these settings; True if it is to be resumed.

    Raises:
        RunDirectoryError: it is something else, in use, or of a run with other settings.
        OSError: it cannot be read or written.
    """
    record = {"format": _MARK, "configuration": settings.config}
    content = json.dumps(record, indent=2, allow_nan=False) + "\n"  # may fail: before all else
    stored = _stored_config(path)
    if stored is None:
        _check_empty(path)
    else:
        _check_not_in_use(path)
    resumed = stored is not None and not settings.reset
    if resumed:
        _check_same(path, stored, settings)
    elif stored is not None:
        _empty(path)
    replace_file(path / CONFIG, content.encode())
    return resumed


@contextlib.contextmanager
def sole_starter(path: Path) -> Iterator[None]:
    """Makes a run's folder where there is none, and keeps other processes from preparing it.

    Without it, of two that start over at once, each could find the log free, before the other
    has made a new one, and remove what the other one writes.

    Raises:
        RunDirectoryError: the folder is something else, or another process prepares it.
        OSError: it cannot be made.
    """
    _make_folder(path)
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        yield
        return
    try:
        if lock_file(descriptor) is Lock.BUSY:
            raise RunDirectoryError(in_use(path))
        yield
    finally:
        os.close(descriptor)


def _make_folder(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise RunDirectoryError(f"{path}: is a file; name a folder with --output_dir")
    if path.is_symlink() and not path.exists():
        raise RunDirectoryError(f"{path}: is a broken link; remove it or name another folder "
                                "with --output_dir")
    path.mkdir(parents=True, exist_ok=True)


def _stored_config(path: Path) -> dict[str, Any] | None:
    """The configuration of the run in a folder; None where no run is recognised."""
    try:
        record = read_json(path / CONFIG)
    except (FileNotFoundError, IsADirectoryError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("format") != _MARK:
        return None
    config = record.get("configuration")
    return config if isinstance(config, dict) else None


def _check_empty(path: Path) -> None:
    """A run that was killed at its very start may have left temporary files of its own."""
    found = sorted(entry.name for entry in path.iterdir()
                   if not is_left_behind(entry, _REPLACED))
    if found:
        raise RunDirectoryError(
            f"{path}: is not empty, and not the folder of a run of this package (found: "
            f"{_listed(found)}); name a new or empty folder with --output_dir")


def _check_not_in_use(path: Path) -> None:
    if not (path / LOG).is_file():
        return
    file = AppendFile(path / LOG)
    try:
        if not file.lock():
            raise RunDirectoryError(in_use(path))
    finally:
        file.close()


def in_use(path: Path) -> str:
    """The message about a folder that another process writes into."""
    return (f"{path}: another run is writing into it; wait for its end, stop it, or name "
            "another folder with --output_dir")


def _check_same(path: Path, stored: Mapping[str, Any], settings: Settings) -> None:
    now = json.loads(json.dumps(settings.config))  # tuples become lists, as in the file
    nothing = object()  # None is a value of flags
    names = [*stored, *(name for name in now if name not in stored)]
    differences = [
        f"  --{name}: {_shown(stored, name)} in the directory, {_shown(now, name)} now"
        for name in names if name not in settings.may_change
        and stored.get(name, settings.defaults.get(name, nothing)) != now.get(name, nothing)]
    if differences:
        raise RunDirectoryError("\n".join([
            f"{path}: holds a run with other settings:", *differences,
            "Start it with the settings of the directory, name another folder with "
            "--output_dir, or start over with --reset_output_dir"]))
    _check_checkpoints(path)


def _check_checkpoints(path: Path) -> None:
    """A run that has logged a step had a folder of checkpoints: one that lost it is not erased."""
    logged = any((path / name).is_file() and (path / name).stat().st_size
                 for name in (METRICS, ARCHITECTURES))
    if (logged or (path / BEST_CHECKPOINT_DIR).exists()) and not (path / CHECKPOINTS).is_dir():
        raise RunDirectoryError(
            f"{path / CHECKPOINTS}: is missing, so the run that is logged here cannot go on; put "
            "the folder back, or remove that run and begin anew with --reset_output_dir")


def _shown(config: Mapping[str, Any], name: str) -> str:
    if name not in config:
        return "not there"
    value = config[name]
    return value if isinstance(value, str) and value else json.dumps(value)


def _empty(path: Path) -> None:
    """Removes what a run wrote. The mark stays to the end: a kill leaves a run's folder."""
    if path.is_symlink():
        raise RunDirectoryError(
            f"{path}: is a link, and --reset_output_dir does not remove what lies behind one; "
            f"give the folder itself ({path.resolve()}) with --output_dir")
    entries = sorted(path.iterdir())
    foreign = [name for entry in entries for name in _foreign_names(entry)]
    if foreign:
        raise RunDirectoryError(
            f"{path}: holds files that no run writes ({_listed(foreign)}), so "
            "--reset_output_dir removes nothing; move them away, or name another folder with "
            "--output_dir")
    for entry in entries:
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != CONFIG:
            entry.unlink()


def _foreign_names(entry: Path) -> list[str]:
    """What no run writes: the entry itself, a link always, or names in a folder of a run."""
    if not entry.is_symlink():
        if entry.name in _FOLDERS and entry.is_dir():
            return [f"{entry.name}/{name}" for name in _FOLDERS[entry.name](entry)]
        if entry.is_file() and (entry.name in _FILES or is_left_behind(entry, _REPLACED)):
            return []
    return [entry.name]


def _listed(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
