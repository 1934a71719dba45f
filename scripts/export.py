#!/usr/bin/env python3
"""Writes a trained network as SavedModel and TFLite, also as `aerobi export`."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("AEROBI") is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from AEROBI.trained.export import main

if __name__ == "__main__":
    sys.exit(main())
