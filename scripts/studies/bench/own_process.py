"""A part of the benchmark in a process of its own: memory, start-up and data loading."""

import json
import os
import subprocess
import sys
from typing import Any

from bench.report import Row


class WorkerError(RuntimeError):
    """A process that did not come to its end; the message has its last line."""


def environment() -> dict[str, str]:
    """With the import path of this process."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def run_module(module: str, *words: object) -> Any:
    """The JSON that `python -m module words...` writes as its last line.

    Raises:
        WorkerError: it failed.
    """
    done = subprocess.run([sys.executable, "-m", module, *map(str, words)], text=True,
                          capture_output=True, check=False, env=environment())
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        raise WorkerError(f"{module} {' '.join(map(str, words))}: {last}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def rows_of(module: str, *words: object) -> list[Row]:
    """The rows that a module writes."""
    return [Row(**row) for row in run_module(module, *words)]
