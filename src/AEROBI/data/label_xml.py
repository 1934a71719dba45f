"""XML label files -> class names, and flags of every crop.

    <Annotation><Defect name="crop.png"><Crack>0</Crack><Rust>1</Rust></Defect>...</Annotation>

The class names are the element names, the same in all files of a data set. Where the six of
CODEBRIM occur, in any order or case, the data set is CODEBRIM.
"""

import logging
import os
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

import defusedxml
import defusedxml.ElementTree

from AEROBI.data.data_set import CLASS_NAMES, DataError, check_class_names, check_inside
from AEROBI.run.regular_files import regular

logger = logging.getLogger(__name__)

_COPY_MARK = "_-_"
_DIGITS = "0123456789"


class LabelFile(NamedTuple):
    """flags: crop name (see `_label_key`) -> 0 or 1 a class. used: names with an image."""

    path: str
    flags: dict[str, tuple[int, ...]]
    used: set[str]


def read_label_files(root: str, paths: Sequence[str], codebrim_folders: bool
                     ) -> tuple[tuple[str, ...], list[LabelFile]]:
    """Class names, and all entries of each of the label files of a data set.

    Args:
        root: folder that the files may not lead out of.
        paths: absolute file names.
        codebrim_folders: whether the crops lie in CODEBRIM's folders, so that elements without
            names can be read in its order.

    Raises:
        DataError: a file that cannot be used, or crops that differ in their classes.
    """
    crops = {path: list(_parse_xml(root, path)) for path in paths}
    class_names = _class_names(crops, codebrim_folders)
    return class_names, [_read_entries(path, crops.pop(path), class_names) for path in paths]


def find_label(label_file: LabelFile, path: str) -> tuple[int, ...]:
    """Flags of an image; a copy x_-_y.png has those of x.png unless it has its own."""
    stem, extension = os.path.splitext(_label_key(os.path.basename(path)))
    key = stem + extension
    while key not in label_file.flags and _COPY_MARK in stem:
        stem = stem.rpartition(_COPY_MARK)[0]
        key = stem + extension
    if key not in label_file.flags:
        raise DataError(
            f"{path}: no labels in {label_file.path}; "
            "add an entry with this name there, or remove the image"
        )
    label_file.used.add(key)
    return label_file.flags[key]


def _label_key(name: str) -> str:
    """A crop's name as label files are searched for it: x.PNG and x.png are one crop."""
    stem, extension = os.path.splitext(name.strip())
    return stem + extension.lower()


def _parse_xml(root: str, path: str) -> Element:
    """Root element of a label file. Labels come from the internet: no entity tricks."""
    if not os.path.lexists(path):
        raise DataError(f"{path}: no such label file; copy it from the data set's archive")
    check_inside(root, path)
    try:
        with open(path, "rb", opener=regular) as file:
            return defusedxml.ElementTree.parse(file).getroot()
    except defusedxml.DefusedXmlException as error:
        raise DataError(
            f"{path}: declares XML entities, which defusedxml refuses as unsafe ({error}); "
            "a label file needs none: get it from the data set's archive"
        ) from error
    except (ParseError, ValueError, LookupError) as error:
        raise DataError(
            f"{path}: is not well-formed XML ({error}); repair it or copy it again"
        ) from error


# --- class names -----------------------------------------------------------------------


def _class_names(crops: dict[str, list[Element]], codebrim_folders: bool) -> tuple[str, ...]:
    """The element names that most crops have, in the order of the first of these crops."""
    counts: Counter[tuple[str, ...]] = Counter()
    first: dict[tuple[str, ...], tuple[tuple[str, ...], str]] = {}
    for path, elements in crops.items():
        for crop in elements:
            tags = _tags(crop)
            key = tuple(sorted(map(str.lower, tags)))
            counts[key] += 1
            if key not in first:
                first[key] = tags, f"{path}: {crop.get('name')}"
    if not counts or tuple(sorted(map(str.lower, CLASS_NAMES))) in counts:
        return CLASS_NAMES
    tags, where = first[counts.most_common(1)[0][0]]
    if codebrim_folders and len(tags) == len(CLASS_NAMES) and _are_numbered(tags):
        return CLASS_NAMES
    check_class_names(tuple(map(str.lower, tags)), where)
    return tags


def _tags(crop: Element) -> tuple[str, ...]:
    """Names of a crop's elements without name space: `{uri}Crack` -> `Crack`."""
    return tuple(child.tag.rpartition("}")[2] for child in crop)


def _are_numbered(tags: Sequence[str]) -> bool:
    """Whether the elements have no names of their own: l0, l1, l2, or all the same."""
    return len({tag.rstrip(_DIGITS) for tag in tags}) == 1


# --- entries ---------------------------------------------------------------------------


def _read_entries(path: str, crops: list[Element], class_names: tuple[str, ...]) -> LabelFile:
    flags: dict[str, tuple[int, ...]] = {}
    by_order = 0
    for number, crop in enumerate(crops, start=1):
        name = crop.get("name")
        if not name:
            raise DataError(f"{path}: entry {number} has no name; it must be a file name")
        where = f"{path}: {name}"
        values, named = _read_flags(crop, class_names, where)
        by_order += not named
        if flags.setdefault(_label_key(name), values) != values:
            raise DataError(f"{where} is listed twice with different labels; keep one")
    if by_order:
        logger.warning(
            "%s: %d entries without label names: read in the order %s",
            path, by_order, ", ".join(class_names),
        )
    return LabelFile(path, flags, set())


def _read_flags(crop: Element, class_names: tuple[str, ...], where: str
                ) -> tuple[tuple[int, ...], bool]:
    """Flags of an entry, and whether they were found by name rather than by order.

    Names count as missing where none of CODEBRIM's six occurs. With some of them there, or in
    another data set, the order cannot be trusted, so that is an error.
    """
    names = [tag.lower() for tag in _tags(crop)]
    if len(names) != len(class_names):
        raise DataError(
            f"{where} has {len(names)} flags, expected {len(class_names)}: "
            f"{', '.join(class_names)}"
        )
    missing = [name for name in class_names if name.lower() not in names]
    if missing and (len(missing) < len(class_names) or class_names != CLASS_NAMES):
        raise DataError(_missing_flags(missing, names, class_names, where))
    values = [_read_flag(child, where) for child in crop]
    if not missing:
        by_name = dict(zip(names, values))
        values = [by_name[name.lower()] for name in class_names]
    return tuple(values), not missing


def _missing_flags(missing: Sequence[str], names: Sequence[str],
                   class_names: tuple[str, ...], where: str) -> str:
    known = {name.lower() for name in class_names}
    others = ", ".join(name for name in names if name not in known) or "one of the others twice"
    way_out = ("name all six, or none to give them in this order" if class_names == CLASS_NAMES
               else "all crops of all label files need the same element names")
    return (f"{where} has no flag {', '.join(missing)} but {others}; expected "
            f"{', '.join(class_names)}: {way_out}")


def _read_flag(child: Element, where: str) -> int:
    """The value of a label's element, 0 or 1."""
    text = (child.text or "").strip()
    if text not in ("0", "1"):
        raise DataError(f"{where}: {child.tag} is {text!r}, expected 0 or 1")
    return int(text)
