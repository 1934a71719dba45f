"""Photographs → rows of probabilities, a few photographs at a time.

Photographs are decoded in threads ahead of the network and given to it in batches, so that a
folder of any size needs the memory of a few.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from AEROBI.data.threads import in_order
from AEROBI.prediction import heat_map, patch_grid
from AEROBI.prediction.output import Row
from AEROBI.prediction.photos import Found, PhotoError, patch, read_photo, shown
from AEROBI.prediction.picture_folder import PictureFolder, distinct_file_names

if TYPE_CHECKING:
    from AEROBI.trained.classifier import Classifier

log = logging.getLogger(__name__)

MOST_WORKERS, AHEAD = 4, 4  # threads; patches each has made in advance


@dataclass
class Job:
    """What is to be done with photographs, and how it went."""

    classifier: Classifier
    thresholds: np.ndarray  # float32 [classes]
    batch_size: int = 32
    patch_size: int | None = None  # of windows, pixels; None: by the photograph
    stride: int | None = None
    pictures: PictureFolder | None = None  # None: no heat maps
    per_class: bool = False
    skipped: int = 0

    def skip(self, message: str) -> None:
        """Names a photograph that is left out."""
        self.skipped += 1
        log.error("Skipped: %s", message)


class Decoded(NamedTuple):
    """A photograph, its patch, or why there is neither."""

    found: Found
    photo: Image.Image | None = None
    patch: np.ndarray | None = None
    problem: str | None = None


def predict(found: Iterable[Found], job: Job) -> Iterator[Row]:
    """A row for every photograph that can be read, in order; the others are logged.

    With heat maps, each photograph is gone over in windows, its row has their largest
    probabilities, and its pictures are there when its row is.
    """
    return _rows_of_windows(found, job) if job.pictures else _rows_of_patches(found, job)


def _decode(found: Found, classifier: Classifier | None) -> Decoded:
    """Reads a photograph; for a classifier its patch is cut here, and the photograph not kept."""
    if found.problem:
        return Decoded(found, problem=f"{shown(found.path)}: {found.problem}")
    try:
        photo = read_photo(found.path)
        if classifier is None:
            return Decoded(found, photo=photo)
        return Decoded(found, patch=patch(
            photo, classifier.img_size, classifier.aliased_scaling))
    except PhotoError as error:
        return Decoded(found, problem=_named(found, error))


def _named(found: Found, error: PhotoError) -> str:
    """The message with its photograph, which some errors do not know."""
    name = shown(found.path)
    return str(error) if str(error).startswith(name) else f"{name}: {error}"


def _rows_of_patches(found: Iterable[Found], job: Job) -> Iterator[Row]:
    workers = min(os.cpu_count() or 1, MOST_WORKERS)
    with contextlib.closing(in_order(lambda file: _decode(file, job.classifier), found,
                                     workers, AHEAD * workers)) as decoded:
        for batch in _batches(decoded, job):
            probabilities = job.classifier.probabilities(np.stack([photo.patch for photo in batch]))
            for photo, row in zip(batch, probabilities):
                yield Row(photo.found.path, row)


def _batches(decoded: Iterable[Decoded], job: Job) -> Iterator[list[Decoded]]:
    """The photographs that have a patch, `batch_size` of them at a time."""
    batch: list[Decoded] = []
    for photo in decoded:
        if photo.problem:
            job.skip(photo.problem)
            continue
        batch.append(photo)
        if len(batch) == job.batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _rows_of_windows(found: Iterable[Found], job: Job) -> Iterator[Row]:
    # One photograph ahead: several of 200 megapixels would fill the memory.
    with contextlib.closing(in_order(lambda file: _decode(file, None), found, 1, 1)) as decoded:
        for photo in decoded:
            try:
                if photo.problem:
                    raise PhotoError(photo.problem)
                yield _scan(photo, job)
            except PhotoError as error:
                job.skip(_named(photo.found, error))


def _scan(decoded: Decoded, job: Job) -> Row:
    """Goes over one photograph in windows, and draws it."""
    photo, classifier = decoded.photo, job.classifier
    grid = patch_grid.make_grid(*photo.size, classifier.img_size, job.patch_size, job.stride)
    flat = np.concatenate([
        classifier.probabilities(images) for images
        in patch_grid.batches(photo, grid, classifier.img_size, job.batch_size,
                              classifier.aliased_scaling)])
    best = flat.argmax(axis=0)
    boxes = [grid.box(*divmod(int(number), grid.shape[1])) for number in best]
    scene = heat_map.Scene(
        decoded.found.below, photo, patch_grid.average(grid, flat.reshape(*grid.shape, -1)),
        classifier.class_names, flat.max(axis=0), boxes, job.thresholds)
    _draw(scene, decoded.found, job)
    return Row(decoded.found.path, scene.maxima, boxes)


def _draw(scene: heat_map.Scene, found: Found, job: Job) -> None:
    place = job.pictures.place(found)
    if not job.per_class:
        job.pictures.write(place.with_name(place.name + ".png"), heat_map.draw_sheet(scene))
        return
    for index, name in enumerate(distinct_file_names(scene.class_names)):
        path = place.with_name(f"{place.name}.{name}.png")
        job.pictures.write(path, heat_map.draw_class(scene, index))
