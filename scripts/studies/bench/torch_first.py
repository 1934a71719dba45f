"""PyTorch, where it is installed, loaded whole: import this before whatever imports TensorFlow.

The compiler in PyTorch's CUDA builds loads Triton's library only at its first use, and in a
process that has TensorFlow's libraries by then that is a crash: such a process has no PyTorch.
"""

import contextlib
import sys

torch = None
if "tensorflow" not in sys.modules:
    with contextlib.suppress(ImportError):
        import torch
    with contextlib.suppress(ImportError):
        import triton  # noqa: F401

__all__ = ["torch"]
