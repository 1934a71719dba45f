#!/usr/bin/env python3
"""Probabilities of the defects in photographs, and heat maps of big ones; see --help."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("AEROBI") is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from AEROBI.commands.predict import main

if __name__ == "__main__":
    sys.exit(main())
