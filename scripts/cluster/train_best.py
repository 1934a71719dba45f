#!/usr/bin/env python3
"""Final trainings of the best architectures of a search, shared by many processes; see --help."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("AEROBI") is None:  # a checkout that is not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "src"))

from AEROBI.commands.train_best import main

if __name__ == "__main__":
    sys.exit(main())
