"""Installs the package AEROBI; `pip install .` or, for work on it, `pip install -e '.[test]'`."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "src/AEROBI/__init__.py").read_text())[1]

# Pictures, video, the report, heat maps over photographs.
VIZ = ["matplotlib>=3.8", "networkx>=3.2", "jinja2>=3.1", "imageio-ffmpeg>=0.5"]
NOTEBOOK = [*VIZ, "nbclient>=0.10", "nbformat>=5.9", "ipykernel>=6.29"]

setup(
    name="AEROBI",
    version=VERSION,
    description="Efficient neural architecture search for concrete defect classification",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    package_dir={"": "src"},
    packages=find_packages("src"),
    package_data={"AEROBI.report": ["*.html", "*.css", "*.js"]},
    python_requires=">=3.10",
    install_requires=(HERE / "requirements.txt").read_text().split(),
    entry_points={"console_scripts": ["aerobi = AEROBI.cli:main"]},
    extras_require={
        "viz": VIZ,
        "notebook": NOTEBOOK,
        "litert": ["ai-edge-litert>=1.2"],
        "bench": ["torch>=2.6"],
        "test": [*NOTEBOOK, "pytest>=8.0", "pytest-xdist>=3.3", "scikit-learn>=1.4", "ruff>=0.6",
                 "playwright>=1.44", "hypothesis>=6.100", "pyyaml>=6.0"]},
)
