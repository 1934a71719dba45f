"""Where a run writes: log, JSON lines, TensorBoard events, settings, versions.

    stdout                   the log, in the published format
    metrics.jsonl            a record for each logged step and each evaluation
    architectures.jsonl      a record for each printed architecture
    best_architecture.txt    at the end of a search
    config.json              the resolved configuration
    versions.json            Python, TensorFlow, numpy and the code
    checkpoints/, events/

The first three only grow. Every checkpoint knows how long they were (`offsets`), and a resumed
run cuts them back to that (`rewind`): it repeats the steps since, so they end as those of a run
that was never interrupted.
"""

import errno
import io
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import tensorflow.compat.v1 as tf
from PIL import Image

from AEROBI.run.append_file import AppendFile, LineHandler, json_line
from AEROBI.run.event_file import EventFile
from AEROBI.run.regular_files import read_json
from AEROBI.run.run_dir_checks import (
    ARCHITECTURES,
    BEST_ARCHITECTURE_FILE,
    EVENTS,
    LOG,
    METRICS,
    VERSIONS,
    RunDirectoryError,
    Settings,
    in_use,
    prepare,
    sole_starter,
)
from AEROBI.run.versions import versions
from AEROBI.run.whole_files import replace_file

__all__ = ["RunDirectory", "RunDirectoryError"]

log = logging.getLogger(__name__)

PACKAGE_LOGGER = logging.getLogger("AEROBI")


class RunDirectory:
    """The files of one run; as a context it also takes the log of the package.

    Attributes:
        path: absolute.
        resumed: whether an earlier start of the same run left its files here.
    """

    @classmethod
    def open(cls, path: str, config: Mapping[str, Any], reset: bool,
             may_change: frozenset[str] = frozenset(),
             defaults: Mapping[str, Any] | None = None) -> "RunDirectory":
        """A new run, or an earlier one with the same settings to be resumed.

        Args:
            path: of the folder; it and its parents are made where they are missing.
            config: flag name -> JSON value.
            reset: remove the run that is there, if any; nothing but a run's folder is emptied.
            may_change: flags that may differ when a run is resumed.
            defaults: by flag; what an earlier run did, whose record is older than the flag.

        Raises:
            RunDirectoryError: the folder is something else, in use, of a run with other
                settings, or cannot be written.
        """
        if not path.strip():
            raise RunDirectoryError("--output_dir is empty: name a folder")
        try:
            folder = Path(path).expanduser().absolute()
            with sole_starter(folder):
                resumed = prepare(folder, Settings(
                    dict(config), reset, may_change, defaults or {}))
                return cls(folder, resumed)
        except OSError as error:
            way_out = ("put the file itself there" if error.errno == errno.ELOOP else
                       "make it writable")
            raise RunDirectoryError(
                f"{error.filename or path}: {error.strerror or error}; {way_out}, or "
                "name another folder with --output_dir") from error
        except RuntimeError as error:
            raise RunDirectoryError(f"{path}: {error}; write the folder in full") from error

    def __init__(self, path: Path, resumed: bool):
        """Opens the files of a folder that `open` has prepared."""
        self.path, self.resumed = path, resumed
        self._write_versions()
        self._files = {name: AppendFile(path / name) for name in (LOG, METRICS, ARCHITECTURES)}
        for file in self._files.values():
            file.end_last_line()
        self._handler: LineHandler | None = None
        self._level_before = logging.NOTSET
        self._events: EventFile | None = None
        self._events_start: int | None = None

    def __enter__(self) -> "RunDirectory":
        """Attaches the log, as `attach_log` does."""
        self.attach_log()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Closes the files, as `close` does."""
        self.close()

    def attach_log(self) -> None:
        """From now on what the package logs, INFO and above, also goes to the file stdout.

        Raises:
            RunDirectoryError: another process writes here.
        """
        if not self._files[LOG].lock():
            raise RunDirectoryError(in_use(self.path))
        if self._handler is None:
            self._handler = LineHandler(self._files[LOG])
            PACKAGE_LOGGER.addHandler(self._handler)
            self._level_before = PACKAGE_LOGGER.level
            if not PACKAGE_LOGGER.isEnabledFor(logging.INFO):
                PACKAGE_LOGGER.setLevel(logging.INFO)

    def close(self) -> None:
        """Ends what attach_log began, and closes all files; may be called twice."""
        if self._handler is not None:
            PACKAGE_LOGGER.removeHandler(self._handler)
            PACKAGE_LOGGER.setLevel(self._level_before)
            self._handler = None
        if self._events is not None:
            self._events.close()
            self._events = None
        for file in self._files.values():
            file.close()

    # Records.

    def write_metrics(self, record: Mapping[str, Any]) -> None:
        """Appends a record to metrics.jsonl; nan and infinities become null."""
        self._files[METRICS].write(json_line(record))

    def write_architecture(self, record: Mapping[str, Any]) -> None:
        """Appends a record of a sampled architecture to architectures.jsonl."""
        self._files[ARCHITECTURES].write(json_line(record))

    def write_best_architecture(self, architecture: str) -> None:
        """best_architecture.txt, in the form that --child_fixed_arc takes."""
        replace_file(self.path / BEST_ARCHITECTURE_FILE, f"{architecture}\n".encode())

    # Events for TensorBoard.

    def start_events(self, step: int) -> None:
        """Begins the events after the child steps done before; call ahead of the first scalars.

        TensorBoard then drops what an earlier start of the run wrote about later steps.
        """
        self._events_start = step

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Tag -> value at a step, on the disk when this returns; OSError where that is full."""
        self._write_event(step, [
            tf.Summary.Value(tag=tag, simple_value=float(value)) for tag, value in values.items()])

    def picture(self, step: int, tag: str, png: bytes) -> None:
        """A picture at a step, for the image tab."""
        width, height = Image.open(io.BytesIO(png)).size
        self._write_event(step, [tf.Summary.Value(tag=tag, image=tf.Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=png))])

    def _write_event(self, step: int, values: list[tf.Summary.Value]) -> None:
        if self._events is None:
            self._events = self._open_events()
        self._events.add(tf.Event(step=step, summary=tf.Summary(value=values)))

    def _open_events(self) -> EventFile:
        events = EventFile(self.path / EVENTS)
        if self._events_start is not None:
            # TensorBoard drops this step as well, which a resumed run does not repeat.
            events.add(tf.Event(step=self._events_start + 1 if self._events_start else 0,
                                session_log=tf.SessionLog(status=tf.SessionLog.START)))
        return events

    # Resuming.

    def offsets(self) -> dict[str, int]:
        """File name -> bytes, of the files that only grow."""
        return {name: file.size() for name, file in self._files.items()}

    def rewind(self, offsets: Mapping[str, int]) -> None:
        """Cuts the growing files back to what they held at a checkpoint.

        What this start of the run has logged so far goes as well: an uninterrupted run would
        not have said it there. A file that has become shorter than it was is kept, with a warning.

        Args:
            offsets: those of `offsets` when the checkpoint was made.
        """
        for name, file in self._files.items():
            offset = offsets.get(name, 0)
            if file.size_at_open < offset:
                log.warning("%s has lost its end: %d bytes where the checkpoint expects %d; "
                            "kept as it is", file.path, file.size_at_open, offset)
            else:
                file.cut(offset, file.size())

    def start_over(self) -> None:
        """Removes what earlier starts of the run wrote; for a run in which nothing can be resumed.

        What this start has logged so far stays.
        """
        for file in self._files.values():
            file.cut(0, file.size_at_open)

    def _write_versions(self) -> None:
        path, now = self.path / VERSIONS, versions()
        try:
            before = dict(read_json(path))
        except (OSError, ValueError, TypeError):
            before = now
        changes = [f"{name} {before.get(name)} before, {now[name]} now"
                   for name in now if before.get(name) != now[name]]
        if self.resumed and changes:
            log.warning("%s: %s; results may differ slightly from those of a single start",
                        self.path, "; ".join(changes))
        replace_file(path, (json.dumps(now, indent=2) + "\n").encode())
