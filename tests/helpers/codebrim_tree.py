"""A tiny CODEBRIM tree on disk, for tests; or one with other folders and classes."""

import os
import pathlib
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from AEROBI.data_utils import CLASS_NAMES, SPLITS, DataError, read_data_set

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


def write_csv(tree: Tree, name: str = "labels.csv", classes=CLASS_NAMES) -> pathlib.Path:
    """<root>/<name>: the labels of a tree once more, as bikit writes them."""
    rows = [",".join(("img_path", "split_type", *classes))]
    rows += [",".join((path, split, *map(str, tree.labels[path])))
             for split in SPLITS for path in tree.of(split)]
    (tree.root / name).write_text("\n".join(rows) + "\n")
    return tree.root / name


def write_labels(root: pathlib.Path, folder: str, flags: dict[str, tuple],
                 tags=CLASS_NAMES) -> None:
    """<root>/metadata/<folder>.xml."""
    entries = [f'<Defect name="{name}">' + "".join(
        f"<{tag}>{value}</{tag}>" for tag, value in zip(tags, values)) + "</Defect>\n"
        for name, values in flags.items()]
    path = root / "metadata" / f"{folder}.xml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<?xml version="1.0"?>\n<Annotation>\n{"".join(entries)}</Annotation>\n')


def write_tree(root: pathlib.Path, sizes=None, seed: int = 0, folders=FOLDERS,
               tags=CLASS_NAMES) -> Tree:
    """Writes images of `sizes`, split -> (height, width) of each; every third is background.

    More precisely, in the first of `folders`; the others are in the last.
    """
    rng = np.random.default_rng(seed)
    images, labels, number = {}, {}, 0
    flags = {folder: {} for folder in folders}
    for split, shapes in (sizes or SIZES).items():
        for folder in folders:
            (root / split / folder).mkdir(parents=True)
        for i, (height, width) in enumerate(shapes):
            folder, number = folders[0 if i % 3 == 0 else -1], number + 1
            name = f"image_{number:07d}_crop_0000001.png"
            path = f"{split}/{folder}/{name}"
            images[path] = smooth_image(height, width, rng)
            defects = tuple(number >> bit & 1 for bit in range(len(tags) - 1))
            labels[path] = flags[folder][name] = (
                (1, *(0 for _ in defects)) if folder == "background" else (0, *defects))
            Image.fromarray(images[path]).save(root / path)
    for folder in folders:
        write_labels(root, folder, flags[folder], tags)
    return Tree(root, dict(sorted(images.items())), dict(sorted(labels.items())))


# --- looking at it, changing it ---------------------------------------------------------


def label_file(tree, folder="defects"):
    """Path of the label file of a folder."""
    return tree.root / "metadata" / f"{folder}.xml"


def first_defect(tree):
    """Path of the first training image with a defect."""
    return tree.root / next(name for name in tree.of("train") if "/defects/" in name)


def edit(path, old, new, count=1):
    """Replaces text in a file."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def flags_of(tree, folder):
    """File name -> labels of the images in the folders of this name."""
    return {os.path.basename(path): flags for path, flags in tree.labels.items()
            if f"/{folder}/" in path}


def fails(tree, *parts):
    """The message of the DataError, which must hold all `parts`."""
    with pytest.raises(DataError) as raised:
        read_data_set(str(tree.root))
    for part in parts:
        assert str(part) in str(raised.value)
    return str(raised.value)


def assert_is_tree(data_set, tree):
    """All images of the tree, with their labels, and no others."""
    for split in SPLITS:
        names = tree.of(split)
        paths, labels = data_set.splits[split]
        assert paths == tuple(str(tree.root / name) for name in names)
        assert labels.dtype == np.uint8 and not labels.flags.writeable
        np.testing.assert_array_equal(labels, [tree.labels[name] for name in names])
