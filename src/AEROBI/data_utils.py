"""The front door of the data loader: where the images are is a flag, there is no path to edit here.

The published code had its path in this file. Now it is a flag:

    scripts/cifar10_macro_search.sh --data_path=/data/CODEBRIM      (or aerobi search, aerobi final)

the folder that CODEBRIM (Zenodo, record 2620293) is unzipped to, with

    {train,val,test}/{background,defects}/<crop>.png
    metadata/{background,defects}.xml

or one of your own: any names in the place of background and defects (`data/label_folders`), or a
CSV file with a column for each class (`data/label_csv`). A run remembers the path in its
config.json, so evaluate, select and report need it only where the images have moved.

This file turns the path into names and labels and decodes no image: `data/packed_images` scales
each once, `data/input_pipeline` cuts and flips. Every fault of the data is a `DataError` that names
the file, so that it shows before a long training and not in it.
"""

import logging
import os

import numpy as np

from AEROBI.data.data_set import CLASS_NAMES, SPLITS, DataError, DataSet, Split, check_inside
from AEROBI.data.label_csv import read_csv
from AEROBI.data.label_folders import METADATA, read_tree

__all__ = ["CLASS_NAMES", "SPLITS", "DataError", "DataSet", "Split", "data_root", "log_summary",
           "read_data_set"]

logger = logging.getLogger(__name__)

_CSV_TYPES = (".csv", ".tsv")


def read_data_set(data_path: str) -> DataSet:
    """Index of the data set `data_path` (may start with ~, may end with a slash).

    That is a folder, or a CSV file. Raises DataError for whatever makes it unusable. Labels
    without an image in an XML file are only worth a warning: the balanced release has fewer
    crops than its label files.
    """
    path = _find(data_path)
    try:
        table = path if os.path.isfile(path) else _find_csv(path)
        if table is None:
            return read_tree(path)
        check_inside(os.path.dirname(table), table)
        return read_csv(table)
    except OSError as error:
        raise DataError(
            f"{error.filename or path}: cannot be read ({error.strerror or error}); "
            "check the permissions"
        ) from error


def data_root(data_path: str) -> str:
    """Absolute folder that paths of images are relative to: `data_path`, or that of its CSV."""
    path = _absolute(data_path)
    return os.path.dirname(path) if os.path.isfile(path) else path


def log_summary(data_set: DataSet) -> None:
    """Log how many images each split has, and how many of them carry each label."""
    widths = [max(len(name), 6) for name in data_set.class_names]
    names = zip(data_set.class_names, widths)
    header = "  ".join(f"{name:>{width}}" for name, width in names)
    logger.info("%-5s  %6s  %s", "split", "images", header)
    for split, (paths, labels) in data_set.splits.items():
        counts = zip(labels.sum(axis=0, dtype=np.int64), widths)
        row = "  ".join(f"{count:>{width}}" for count, width in counts)
        logger.info("%-5s  %6d  %s", split, len(paths), row)


def _absolute(data_path: str) -> str:
    return os.path.abspath(os.path.expanduser(data_path))


def _find(data_path: str) -> str:
    """Absolute path of the data folder or CSV file; DataError if there is none."""
    if not data_path:
        raise DataError(
            "--data_path is empty: give the folder that holds train, val, test and metadata, "
            "or a CSV file"
        )
    path = _absolute(data_path)
    if os.path.isfile(path):
        if not path.lower().endswith(_CSV_TYPES):
            raise DataError(f"{path}: is a file, not a folder, and its name does not end in "
                            f"{' or '.join(_CSV_TYPES)}; unzip it and give its folder")
    elif not os.path.isdir(path):
        raise DataError(f"{path}: no such folder or CSV file; check --data_path")
    return path


def _find_csv(folder: str) -> str | None:
    """The CSV file of a folder that has no label files in XML; None if there is none."""
    if os.path.lexists(os.path.join(folder, METADATA)):
        return None
    names = sorted(name for name in os.listdir(folder)
                   if name.lower().endswith(_CSV_TYPES) and not name.startswith("."))
    if len(names) > 1:
        raise DataError(f"{folder}: holds several CSV files ({', '.join(names[:8])}); name the "
                        "one to use with --data_path")
    return os.path.join(folder, names[0]) if names else None
