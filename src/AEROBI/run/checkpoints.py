"""The last checkpoints of a run: weights, and where the run was.

A checkpoint is what `tf.train.Saver` writes, under the names of the variables, plus a sidecar
`checkpoint-<number>.json` with the position of the run. Only the Saver's own two operations are
run, because every other set of fetches costs a pass over the whole graph.

Order matters, as a run may be killed at any moment: first everything of an unfinished or damaged
checkpoint of the same number goes, then the sidecar is there, then the weights, and only then
does the Saver's file `checkpoint` name the new one.
"""

import contextlib
import glob
import json
import logging
import re
import shutil
import weakref
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow.compat.v1 as tf

from AEROBI.run.plain_path import plain_path
from AEROBI.run.regular_files import check_regular, read_json
from AEROBI.run.whole_files import replace_file
from AEROBI.run.written_names import CHECKPOINT_PREFIX, SAVER_STATE, checkpoint_number

log = logging.getLogger(__name__)

# In a cluster: the parameter servers did not give the variables, which is no matter of the disk.
_NO_DISK = (tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
            tf.errors.UnavailableError)


class CheckpointError(RuntimeError):
    """Checkpoints that cannot be written, or not be resumed from; the message says what to do."""


class DamagedError(Exception):
    """One checkpoint cannot be read; an older one may be."""


class Checkpoints:
    """Saves and restores variables and a position; keeps the last few."""

    def __init__(self, directory: str, variables: Sequence[tf.Variable], keep: int = 2):
        """Adds the Saver's operations to the current graph.

        Args:
            directory: of the checkpoints and nothing else; made where it is missing.
            variables: all that a run needs to go on.
            keep: how many checkpoints stay.
        """
        self._directory = Path(directory).absolute()
        self._directory.mkdir(parents=True, exist_ok=True)
        self._stack = contextlib.ExitStack()
        weakref.finalize(self, self._stack.close)
        self._plain = self._stack.enter_context(plain_path(self._directory))
        self._variables = list(variables)
        self.saver = self._saver = tf.train.Saver(
            self._variables, max_to_keep=keep, save_relative_paths=True)

    def save(self, session: tf.Session, number: int, position: Mapping[str, Any]) -> None:
        """The variables as they are, and the position that belongs to them.

        Args:
            session: with all variables initialised.
            number: higher than that of every checkpoint saved or restored before.
            position: JSON values.

        Raises:
            CheckpointError: it cannot be written; those before are still there.
            OpError: of a cluster, as it came: a parameter server went, or hangs.
            ValueError: the number is not higher.
        """
        kept = [_number(prefix) for prefix in self._saver.last_checkpoints]
        if kept and number <= max(kept):
            raise ValueError(f"checkpoint {number}: there is already {max(kept)}; "
                             "numbers must grow")
        sidecar = _sealed(position)
        try:
            self._remove(lambda saved: saved == number)
            replace_file(self._prefix(number).with_suffix(".json"), sidecar)
            with session.graph.as_default(), quiet_tensorflow():
                self._saver.save(session, str(self._plain / CHECKPOINT_PREFIX), number,
                                 latest_filename=SAVER_STATE, write_meta_graph=False)
            kept = [_number(prefix) for prefix in self._saver.last_checkpoints]
            self._remove(lambda saved: saved not in kept)
        except _NO_DISK:
            raise
        except (OSError, tf.errors.OpError, ValueError) as error:
            # A ValueError is how the Saver says that the folder went while it wrote into it.
            way_out = ("free some disk space, and start again to go on from the checkpoint before"
                       if self._directory.is_dir() else
                       "the folder is gone: put it back, or begin anew")
            raise CheckpointError(f"{self._prefix(number)}: cannot be written "
                                  f"({first_line(error)}); {way_out}") from error

    def restore_latest(self, session: tf.Session) -> dict[str, Any] | None:
        """Sets the variables to the newest checkpoint that can be read; returns its position.

        None where no checkpoint was ever finished; the variables are as before then.

        Raises:
            CheckpointError: of all finished checkpoints none can be read, or the newest has
                variables of other names or shapes.
        """
        with session.graph.as_default(), quiet_tensorflow():
            prefixes = finished_checkpoints(self._directory)
            for index, prefix in enumerate(prefixes):
                try:
                    position = self._restore(session, prefix)
                except DamagedError as damage:
                    log.warning("%s: this checkpoint is damaged (%s) and left out", prefix, damage)
                    continue
                self._saver.recover_last_checkpoints(
                    [str(self._plain / older.name) for older in reversed(prefixes[index:])
                     if _is_there(older)])
                return position
        if prefixes and self._has_finished():
            raise CheckpointError(f"{self._directory}: no checkpoint can be read; start over with "
                                  "--reset_output_dir, or put a copy of a checkpoint back")
        return None

    @property
    def newest(self) -> Path | None:
        """The prefix of the newest checkpoint saved or restored; None before there is one."""
        names = [Path(prefix).name for prefix in self._saver.last_checkpoints]
        return self._directory / names[-1] if names else None

    def _has_finished(self) -> bool:
        return (self._directory / SAVER_STATE).exists()

    def _restore(self, session: tf.Session, prefix: Path) -> dict[str, Any]:
        position = _unsealed(prefix.with_suffix(".json"))
        check_variables(prefix, self._variables)
        try:
            self._saver.restore(session, str(self._plain / prefix.name))
        except (tf.errors.OpError, ValueError) as error:
            raise DamagedError(first_line(error)) from error
        return position

    def _prefix(self, number: int) -> Path:
        return self._directory / f"{CHECKPOINT_PREFIX}-{number}"

    def _remove(self, condition: Callable[[int], bool]) -> None:
        """Removes all files of the checkpoints whose number fulfils the condition."""
        for path in list(self._directory.iterdir()):
            number = checkpoint_number(path)
            if number is not None and condition(number):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()


def finished_checkpoints(directory: Path) -> list[Path]:
    """Prefixes of the finished checkpoints in a folder, newest first."""
    try:
        check_regular(directory / SAVER_STATE)
        with plain_path(directory) as plain:
            state = tf.train.get_checkpoint_state(str(plain), SAVER_STATE)
    except (OSError, ValueError):
        state = None
    if state is not None:
        names = {Path(path).name for path in state.all_model_checkpoint_paths}
    else:  # damaged, or not copied; or the first checkpoint is not finished
        names = {path.stem for path in directory.glob(f"{CHECKPOINT_PREFIX}-*.index")}
    names = [name for name in names if re.fullmatch(rf"{CHECKPOINT_PREFIX}-\d+", name)]
    return [directory / name for name in sorted(names, key=_number, reverse=True)]


def read_position(prefix: Path) -> dict[str, Any]:
    """What a run wrote beside a checkpoint; empty where nothing, or nothing whole, is there."""
    try:
        return _unsealed(prefix.with_suffix(".json"))
    except DamagedError:
        return {}


def checkpoint_reader(prefix: Path) -> tf.train.NewCheckpointReader:
    """Names, shapes and types of what a checkpoint holds; TensorFlow's errors where it cannot.

    OSError where one of its files is a pipe, which TensorFlow would wait for.
    """
    for file in prefix.parent.glob(f"{glob.escape(prefix.name)}.*"):
        check_regular(file)
    with plain_path(prefix.parent) as folder:
        return tf.train.NewCheckpointReader(str(folder / prefix.name))


def check_variables(prefix: Path, variables: Sequence[tf.Variable]) -> None:
    """Tells variables of another graph from damage: the Saver's errors do not.

    Raises:
        CheckpointError: a variable is missing, or of another shape or type.
        DamagedError: the checkpoint cannot be read.
    """
    try:
        reader = checkpoint_reader(prefix)
        shapes = reader.get_variable_to_shape_map()
        types = reader.get_variable_to_dtype_map()
    except Exception as error:  # TensorFlow's errors, and IndexError, come from here
        raise DamagedError(first_line(error)) from error
    for variable in variables:
        name = variable.op.name
        wanted = f"{variable.dtype.base_dtype.name} {variable.shape.as_list()}"
        found = f"{types[name].name} {shapes[name]}" if name in shapes else "missing"
        if found != wanted:
            raise CheckpointError(
                f"{prefix}: variable {name} is {found}, expected {wanted}; it was saved by "
                "another version or for another network: use that one, or start over with "
                "--reset_output_dir")


@contextlib.contextmanager
def quiet_tensorflow(level: int = logging.ERROR) -> Iterator[None]:
    """No word of TensorFlow's below `level`; its Saver warns of what it calls itself."""
    logger = tf.get_logger()
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)


def _sealed(position: Mapping[str, Any]) -> bytes:
    """The text of a sidecar: the position, and a checksum against flipped bits."""
    text = json.dumps(position, sort_keys=True, allow_nan=False)
    return f'{{"crc32": {zlib.crc32(text.encode())},\n "position": {text}}}\n'.encode()


def _unsealed(path: Path) -> dict[str, Any]:
    try:
        record = read_json(path)
        position = record["position"]
        text = json.dumps(position, sort_keys=True)
        if zlib.crc32(text.encode()) == record["crc32"]:
            return position
    except FileNotFoundError:
        raise DamagedError(f"{path.name} is missing") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedError(f"{path.name}: {first_line(error)}") from error
    raise DamagedError(f"{path.name}: wrong checksum")


def _is_there(prefix: Path) -> bool:
    return prefix.with_suffix(".index").exists()


def _number(prefix: str | Path) -> int:
    return int(str(prefix).rpartition("-")[2])


def first_line(error: Exception) -> str:
    """What an error says, short enough for a line of a message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
