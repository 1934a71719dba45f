"""Weights alone, out of a checkpoint: of this package, or of the published implementation.

A network that is used, scored or begun with needs its weights and moving statistics by name, and
nothing of where a run was; whatever else a checkpoint holds is left alone.
"""

from collections.abc import Sequence
from pathlib import Path

import tensorflow.compat.v1 as tf

from AEROBI.run.checkpoints import (
    CheckpointError,
    DamagedError,
    check_variables,
    finished_checkpoints,
    first_line,
    quiet_tensorflow,
    read_position,
)
from AEROBI.run.plain_path import plain_path
from AEROBI.run.run_dir_checks import CHECKPOINTS


def child_variables() -> list[tf.Variable]:
    """Weights and moving statistics of the child in the current graph, no optimiser state."""
    moving = ("/moving_mean", "/moving_variance")
    return [v for v in tf.global_variables("child/")
            if v.trainable or v.op.name.endswith(moving)]


class Restorer:
    """Sets some variables of a graph to those of a checkpoint."""

    def __init__(self, variables: Sequence[tf.Variable]):
        """Adds the Saver's operations to the current graph."""
        self._variables = list(variables)
        self._saver = tf.train.Saver(self._variables)

    def restore(self, session: tf.Session, prefix: Path) -> None:
        """Sets the variables to their values in the checkpoint with this prefix.

        Raises:
            CheckpointError: it is damaged, or of another network.
        """
        with session.graph.as_default(), quiet_tensorflow():
            try:
                check_variables(prefix, self._variables)
                with plain_path(prefix.parent) as folder:
                    self._saver.restore(session, str(folder / prefix.name))
            except (DamagedError, tf.errors.OpError, ValueError) as error:
                raise CheckpointError(
                    f"{prefix}: cannot be read ({first_line(error)}); use another checkpoint, or "
                    "copy it again") from error


def check_same_data(run_dir: Path, fingerprint: str) -> None:
    """Whether the data that a run names are still those that it was trained on.

    Args:
        run_dir: with checkpoints, whose newest one knows; older ones do not.
        fingerprint: of the data set, `data_set.DataSet`.

    Raises:
        CheckpointError: they are others.
    """
    prefix = next(iter(finished_checkpoints(run_dir / CHECKPOINTS)), None)
    stored = read_position(prefix).get("data") if prefix else None
    if stored is not None and stored != fingerprint:
        raise CheckpointError(f"{run_dir}: its data set holds other images or labels than those it "
                              "was trained on; restore them, or name the data with --data_path")


def newest_checkpoint(directory: Path) -> Path:
    """The prefix of the newest finished checkpoint in a folder.

    Raises:
        CheckpointError: there is none.
    """
    prefixes = [prefix for prefix in finished_checkpoints(directory)
                if prefix.with_name(prefix.name + ".index").exists()]
    if not prefixes:
        raise CheckpointError(f"{directory}: holds no checkpoint yet; let the run go on, or name "
                              "another one")
    return prefixes[0]
