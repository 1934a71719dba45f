"""Which software computes: for the record of a run, and for those who compare two."""

import platform
import subprocess
from pathlib import Path

import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI import __version__


def versions() -> dict[str, str | None]:
    """Name -> version; the git commit is None outside a checkout."""
    return {"AEROBI": __version__, "git_commit": git_commit(Path(__file__).resolve().parent),
            "Python": platform.python_version(), "TensorFlow": tf.__version__,
            "numpy": np.__version__}


def git_commit(package: Path) -> str | None:
    """The commit of the checkout whose src/AEROBI is `package`, marked where files changed."""
    root = package.parents[1]
    # An installed package may lie in somebody else's repository.
    if not (root / ".git").exists():
        return None
    try:
        result = subprocess.run(
            ["git", "--no-optional-locks", "-C", str(root), "describe", "--always", "--dirty",
             "--abbrev=40", "--exclude=*"], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() or None
