"""Events for TensorBoard, each of them on the disk when its call returns.

TensorFlow's own FileWriter leaves them to a thread, which a full disk ends with a traceback.
"""

import contextlib
import socket
import time
from pathlib import Path

import tensorflow.compat.v1 as tf

from AEROBI.run.checkpoints import first_line
from AEROBI.run.plain_path import plain_path

_VERSION = "brain.Event:2"  # what TensorBoard looks for in the first record


class EventFile:
    """A new file of TensorBoard's records in a folder."""

    def __init__(self, folder: Path):
        """Makes the folder, where it is missing, and the file.

        Raises:
            OSError: it cannot be written.
        """
        folder.mkdir(exist_ok=True)
        # By the nanosecond: one that is started in the same second replaces nothing.
        now = time.time_ns()
        self.path = folder / (
            f"events.out.tfevents.{now // 10 ** 9}.{socket.gethostname()}.{now}")
        with contextlib.ExitStack() as stack, self._told():
            place = stack.enter_context(plain_path(folder))
            self._writer = tf.io.TFRecordWriter(str(place / self.path.name))
            self._stack = stack.pop_all()
        self.add(tf.Event(file_version=_VERSION))

    def add(self, event: tf.Event) -> None:
        """Appends an event, with the time of now.

        Raises:
            OSError: the disk is full, or gone.
        """
        event.wall_time = time.time()
        with self._told():
            self._writer.write(event.SerializeToString())
            self._writer.flush()

    def close(self) -> None:
        """Closes the file; what could not be written was told before."""
        with contextlib.suppress(tf.errors.OpError, RuntimeError):
            self._writer.close()
        self._stack.close()

    @contextlib.contextmanager
    def _told(self):
        try:
            yield
        except (tf.errors.OpError, RuntimeError) as error:
            raise OSError(f"{self.path}: cannot be written ({first_line(error)}); free some disk "
                          "space and start again") from None
