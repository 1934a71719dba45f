"""CODEBRIM ENAS: neural architecture search for concrete bridge defects."""

import os
from typing import Any

__version__ = "1.0.0"
__all__ = ["Architecture", "MicroArchitecture", "evaluate", "load", "search", "select", "train"]

# Both are read when TensorFlow is first imported, so they are set before any module imports it.
# oneDNN's kernels halve a training step; TensorFlow uses them by itself only on some processors.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Warnings and errors only: what TensorFlow says of its own start is no news to an inspector.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")


def __getattr__(name: str) -> Any:
    """The functions of `api`, which is imported when the first of them is asked for."""
    if name in __all__:
        from AEROBI import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The names of the module, those that are imported on first use among them."""
    return sorted({*globals(), *__all__})
