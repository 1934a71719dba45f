#!/usr/bin/env python3
"""Draws an architecture, or a search as film: see AEROBI.commands.draw."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("AEROBI") is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from AEROBI.commands.draw import main

if __name__ == "__main__":
    sys.exit(main())
