"""What a run writes into the folders below its own, by name: the rest is a user's and stays.

A checkpoint is what TensorFlow's Saver writes, and a sidecar; while the Saver writes, its files
have names that end in `.tempstate` and a number, or lie in a folder `checkpoint-<number>_temp`.
"""

import re
from pathlib import Path

from AEROBI.run.whole_files import is_temporary

CHECKPOINT_PREFIX = "checkpoint"
SAVER_STATE = "checkpoint"  # the Saver's file that lists the finished ones

_CHECKPOINT_FILE = re.compile(
    CHECKPOINT_PREFIX + r"-(\d+)(?:\.(?:data-\d{5}-of-\d{5}|index|meta)(?:\.tempstate\d+)?"
    r"|\.json(?:\.[0-9a-f]{16})?(?:\.tmp)?)")
_SAVER_FOLDER = re.compile(CHECKPOINT_PREFIX + r"-(\d+)_temp(?:_[0-9a-f]+)?")
_SAVER_STATE_FILE = re.compile(SAVER_STATE + r"(?:\.tmp[0-9a-f]{32})?")
_EVENT_FILE = re.compile(r"events\.out\.tfevents\..+")


def checkpoint_number(entry: Path) -> int | None:
    """The number of the checkpoint that a file or folder belongs to; None where it is of none."""
    pattern = _SAVER_FOLDER if entry.is_dir() and not entry.is_symlink() else _CHECKPOINT_FILE
    match = pattern.fullmatch(entry.name)
    return int(match[1]) if match else None


def foreign_in_checkpoints(folder: Path) -> list[str]:
    """Names in a folder of checkpoints that no run gave, a link among them; sorted."""
    return sorted(entry.name for entry in folder.iterdir()
                  if entry.is_symlink() or not (
                      checkpoint_number(entry) is not None
                      or (entry.is_file() and _SAVER_STATE_FILE.fullmatch(entry.name))))


def foreign_in_events(folder: Path) -> list[str]:
    """Names in a folder of TensorBoard's events that no run gave, a link among them; sorted."""
    return sorted(entry.name for entry in folder.iterdir()
                  if entry.is_symlink() or not entry.is_file()
                  or not _EVENT_FILE.fullmatch(entry.name))


def is_left_behind(entry: Path, names: frozenset[str]) -> bool:
    """Whether it is what a killed process left of one of the files `names`, to replace it."""
    return not entry.is_symlink() and entry.is_file() and any(
        entry.name == f"{name}.tmp" or is_temporary(entry.name, name) for name in names)
