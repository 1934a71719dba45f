"""TensorFlow without Keras, which nothing here uses and its import brings along: 40 % of it."""

import contextlib
import sys
from collections.abc import Iterator

_KERAS = "keras"


@contextlib.contextmanager
def without_keras() -> Iterator[None]:
    """Within the block a first import of TensorFlow finds no Keras, and does without.

    For processes that are ours alone: whoever uses this package as a library may want Keras too.
    One that is imported already stays, and after the block `tf.keras` is found when it is used.
    """
    if _KERAS in sys.modules:
        yield
        return
    sys.modules[_KERAS] = None  # an import of it is a ModuleNotFoundError
    try:
        yield
    finally:
        sys.modules.pop(_KERAS, None)
