"""The embedded data set: pictures of concrete defects, made from a seed.

    aerobi sample-data --output data/sample

writes the folder layout of CODEBRIM (see `data_utils`), small enough to try a search within
minutes and without a download. The pictures are drawings: they teach a network to tell the six
classes apart, but say nothing about real bridges. Image k of a split is a pure function of (seed,
split, k): a larger data set begins with the images of a smaller one.
"""

from __future__ import annotations

import logging
import os
import shutil
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from tqdm import tqdm

from AEROBI.data_utils import CLASS_NAMES, SPLITS
from AEROBI.sample_data.defects import paint_defects
from AEROBI.sample_data.textures import add_clutter, concrete, make_grid, photograph

logger = logging.getLogger(__name__)

MAX_IMAGES = 999_999  # of a split, so that names stay seven digits long and unique
SHORTER_SIDE = (64, 96)  # pixels
MAX_ASPECT = 1.6

# What a picture shows, and how many of a hundred pictures show it.
SCENES: tuple[tuple[int, tuple[str, ...]], ...] = (
    (22, ("Background",)),
    (14, ("Crack",)),
    (9, ("Spallation",)),
    (10, ("Efflorescence",)),
    (9, ("CorrosionStain",)),
    (8, ("Spallation", "ExposedBars")),
    (9, ("Spallation", "ExposedBars", "CorrosionStain")),
    (7, ("Crack", "Efflorescence")),
    (4, ("Crack", "CorrosionStain")),
    (3, ("Crack", "Spallation")),
    (3, ("Efflorescence", "CorrosionStain")),
    (2, ("Crack", "Spallation", "ExposedBars")),
)


@dataclass(frozen=True)
class SampleSizes:
    """How many images each split gets, at least one; ValueError if that is impossible."""

    train: int
    val: int
    test: int

    def __post_init__(self) -> None:
        """Refuses too few or too many images, in a ValueError that names the split."""
        for split in SPLITS:
            count = getattr(self, split)
            if not 1 <= count <= MAX_IMAGES:
                raise ValueError(
                    f"the {split} split cannot have {count} images: give 1 to {MAX_IMAGES}"
                )


class Sample(NamedTuple):
    """image: uint8 [H, W, 3]. labels: uint8 [6], in the order of CLASS_NAMES."""

    image: np.ndarray
    labels: np.ndarray


def render(rng: np.random.Generator) -> Sample:
    """Draws one labelled picture; uses nothing but the generator."""
    shares = np.array([share for share, _ in SCENES])
    _, names = SCENES[rng.choice(len(SCENES), p=shares / shares.sum())]
    grid = make_grid(*_image_size(rng))
    surface = add_clutter(rng, grid, concrete(rng, grid))
    surface = paint_defects(rng, grid, surface, names)
    labels = np.array([name in names for name in CLASS_NAMES], np.uint8)
    return Sample(photograph(rng, grid, surface), labels)


def _image_size(rng: np.random.Generator) -> tuple[int, int]:
    """Height and width in pixels, lying or standing."""
    shorter = int(rng.integers(SHORTER_SIDE[0], SHORTER_SIDE[1] + 1))
    longer = round(shorter * rng.uniform(1.0, MAX_ASPECT))
    return (shorter, longer) if rng.random() < 0.5 else (longer, shorter)


def generate(output: str | os.PathLike, sizes: SampleSizes, seed: int = 0) -> None:
    """Writes a whole data set to the folder `output`, or nothing at all.

    Raises:
      ValueError: the seed is negative.
      FileExistsError: `output` is there and is not an empty folder; nothing is overwritten.
    """
    if seed < 0:
        raise ValueError(f"the seed cannot be {seed}: give 0 or a positive number")
    target = Path(output).expanduser().resolve()
    _refuse_existing(target)
    start, total = time.monotonic(), sizes.train + sizes.val + sizes.test
    # disable=None: no bar where nobody looks at it.
    with _staging(target) as folder, tqdm(total=total, unit="image", disable=None) as progress:
        labels: dict[str, np.ndarray] = {}
        for split in SPLITS:
            labels |= _write_split(folder, split, getattr(sizes, split), seed, progress)
        _write_labels(folder, labels)
    _log_summary(target, labels, seed, time.monotonic() - start)


def _refuse_existing(target: Path) -> None:
    """FileExistsError unless `target` is free or an empty folder."""
    if target.exists() and not target.is_dir():
        raise FileExistsError(f"{target} is a file: give the name of a new folder")
    if target.exists() and any(target.iterdir()):
        raise FileExistsError(
            f"{target} is not empty and nothing is overwritten: give another folder, "
            "or remove this one first"
        )


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` at the end, or vanishes on any exception."""
    # Beside the target, or beside its first missing parent: the same file system, so that the
    # move is one step, and an interrupted run leaves no parents behind either.
    existing = next(parent for parent in target.parents if parent.exists())
    folder = existing / f".{target.name}.partial-{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.replace(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_split(
    folder: Path, split: str, count: int, seed: int, progress: tqdm
) -> dict[str, np.ndarray]:
    """Writes the images of a split; returns file name -> labels uint8 [6]."""
    for kind in ("background", "defects"):
        (folder / split / kind).mkdir(parents=True)
    index, labels = SPLITS.index(split), {}
    for number in range(count):
        sample = render(np.random.default_rng([seed, index, number]))
        # Label files are shared by the splits: the millions tell them apart.
        name = f"image_{index * (MAX_IMAGES + 1) + number + 1:07d}_crop_0000001.png"
        Image.fromarray(sample.image).save(folder / split / _kind(sample.labels) / name)
        labels[name] = sample.labels
        progress.update()
    return labels


def _kind(labels: np.ndarray) -> str:
    """The folder, and the label file, of an image with these labels (uint8 [6])."""
    return "background" if labels[CLASS_NAMES.index("Background")] else "defects"


def _write_labels(folder: Path, labels: dict[str, np.ndarray]) -> None:
    """Writes metadata/background.xml and metadata/defects.xml."""
    (folder / "metadata").mkdir()
    for kind in ("background", "defects"):
        root = ET.Element("Annotation")
        for name, flags in labels.items():
            if _kind(flags) != kind:
                continue
            entry = ET.SubElement(root, "Defect", name=name)
            for class_name, flag in zip(CLASS_NAMES, flags):
                ET.SubElement(entry, class_name).text = str(int(flag))
        ET.indent(root)
        tree = ET.ElementTree(root)
        tree.write(folder / "metadata" / f"{kind}.xml", encoding="utf-8", xml_declaration=True)


def _log_summary(target: Path, labels: dict[str, np.ndarray], seed: int, seconds: float) -> None:
    """One line: what was written, and how frequent each class is."""
    shares = np.mean(list(labels.values()), axis=0)
    classes = ", ".join(f"{name} {share:.0%}" for name, share in zip(CLASS_NAMES, shares))
    logger.info(
        "%s: wrote %d images (seed %d) in %.1f s: %s", target, len(labels), seed, seconds, classes
    )
