#!/usr/bin/env python3
"""Measures a trained network on a split of its data set, also as `aerobi evaluate`."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("AEROBI") is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from AEROBI.trained.evaluation import main

if __name__ == "__main__":
    sys.exit(main())
