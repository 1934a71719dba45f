"""Installs the package AEROBI; `pip install .` or, for work on it, `pip install -e '.[test]'`."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "src/AEROBI/__init__.py").read_text())[1]

setup(
    name="AEROBI",
    version=VERSION,
    description="Efficient neural architecture search for concrete defect classification",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    package_dir={"": "src"},
    packages=find_packages("src"),
    python_requires=">=3.10",
    install_requires=(HERE / "requirements.txt").read_text().split(),
    extras_require={"test": ["pytest>=8.0", "scikit-learn>=1.4", "ruff>=0.6"]},
)
