"""CODEBRIM ENAS: neural architecture search for concrete bridge defects."""

import os

__version__ = "1.0.0"

# Both are read when TensorFlow is first imported, so they are set before any module imports it.
# oneDNN's kernels halve a training step; TensorFlow uses them by itself only on some processors.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# Warnings and errors only: what TensorFlow says of its own start is no news to an inspector.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
