"""A tiny CODEBRIM tree on disk, for tests."""

import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from AEROBI.data_utils import CLASS_NAMES

FOLDERS = ("background", "defects")
SIZES = {
    "train": ((40, 50), (64, 32), (33, 33), (90, 41), (16, 20)),
    "val": ((45, 30), (32, 48), (20, 70)),
    "test": ((36, 36), (50, 100)),
}


class Tree(NamedTuple):
    """What was written; `images` and `labels` by path below the root, in sorted order."""

    root: pathlib.Path
    images: dict[str, np.ndarray]
    labels: dict[str, tuple[int, ...]]

    def of(self, split: str) -> list[str]:
        """Relative paths of a split."""
        return [name for name in self.images if name.startswith(f"{split}/")]


def smooth_image(height: int, width: int, rng: np.random.Generator) -> np.ndarray:
    """uint8 [h, w, 3], waves."""
    y, x = np.mgrid[:height, :width, :1][:2]
    phase, rate = rng.uniform(0, 6, 3), rng.uniform(0.05, 0.15, (2, 3))
    return (128 + 100 * np.sin(rate[0] * y + rate[1] * x + phase)).astype(np.uint8)


def write_labels(root: pathlib.Path, folder: str, flags: dict[str, tuple],
                 tags=CLASS_NAMES) -> None:
    """<root>/metadata/<folder>.xml."""
    entries = [f'<Defect name="{name}">' + "".join(
        f"<{tag}>{value}</{tag}>" for tag, value in zip(tags, values)) + "</Defect>\n"
        for name, values in flags.items()]
    path = root / "metadata" / f"{folder}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<?xml version="1.0"?>\n<Annotation>\n{"".join(entries)}</Annotation>\n')


def write_tree(root: pathlib.Path, sizes=None, seed: int = 0) -> Tree:
    """Writes images of `sizes`, split -> (height, width) of each; every third is background."""
    rng = np.random.default_rng(seed)
    images, labels, number = {}, {}, 0
    flags = {folder: {} for folder in FOLDERS}
    for split, shapes in (sizes or SIZES).items():
        for folder in FOLDERS:
            (root / split / folder).mkdir(parents=True)
        for i, (height, width) in enumerate(shapes):
            folder, number = FOLDERS[i % 3 > 0], number + 1
            name = f"image_{number:07d}_crop_0000001.png"
            path = f"{split}/{folder}/{name}"
            images[path] = smooth_image(height, width, rng)
            defects = tuple(number >> bit & 1 for bit in range(5))
            labels[path] = flags[folder][name] = (
                (0, *defects) if folder == "defects" else (1, 0, 0, 0, 0, 0))
            Image.fromarray(images[path]).save(root / path)
    for folder in FOLDERS:
        write_labels(root, folder, flags[folder])
    return Tree(root, dict(sorted(images.items())), dict(sorted(labels.items())))
