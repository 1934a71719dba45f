"""The child of one architecture begins with, or is used with, the weights of a search."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI.config import ChildConfig
from AEROBI.run.checkpoints import CheckpointError, checkpoint_reader, first_line
from AEROBI.run.restore import Restorer, child_variables
from AEROBI.search_space.networks import networks_of
from AEROBI.search_space.spaces import space_of


class SharedRestorer:
    """Sets a final child to what one architecture uses of the weights that all of them share."""

    def __init__(self, variables: Sequence[tf.Variable], child: ChildConfig):
        """Adds operations to the current graph, the one of the final child that `child` is."""
        architecture = space_of(child).from_numbers(child.fixed_arc)
        shared_names = networks_of(child).shared_names
        self._parts = [shared_names(v.op.name, architecture, child) for v in variables]
        self._values = [tf.placeholder(tf.float32, v.shape) for v in variables]
        self._assigned = [v.assign(value, read_value=False)
                          for v, value in zip(variables, self._values)]

    def restore(self, session: tf.Session, prefix: Path) -> None:
        """Sets the child's variables from a search's checkpoint with this prefix.

        Raises:
            CheckpointError: it is damaged, or not of a search with child_network=final and this
                size.
        """
        try:
            reader = checkpoint_reader(prefix)
            values = [_joined([reader.get_tensor(name) for name in names])
                      for names in self._parts]
            session.run(self._assigned, dict(zip(self._values, values)))
        except Exception as error:  # TensorFlow's errors, and IndexError, come from here
            raise CheckpointError(
                f"{prefix}: holds no shared weights for this child ({first_line(error)}); name a "
                "search with the same --child_network and size") from error


def _joined(slices: Sequence[np.ndarray]) -> np.ndarray:
    """One tensor as it is, or slices of a 1x1 convolution along their input channels."""
    return slices[0] if len(slices) == 1 else np.concatenate(slices, axis=2)


def restorer_from_search(child: ChildConfig) -> Restorer | SharedRestorer:
    """What sets the child of one architecture in the current graph from a search's checkpoint."""
    if child.built_as == "search":
        return Restorer(child_variables())
    return SharedRestorer(child_variables(), child)
