"""The files of a run, one by one: JSON, JSON lines, the published log, architectures, predictions.

What cannot be read becomes a note, never an error. A torn last line is what a run still going
looks like, and passed over. `run_records` puts them together. No TensorFlow.
"""

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from AEROBI.architecture import ArchitectureError
from AEROBI.records import ranking, split_predictions
from AEROBI.records.log_space import space_of_log
from AEROBI.records.published_log import LogError, PublishedLog, parse
from AEROBI.records.ranking import Ranking, RankingError
from AEROBI.records.split_predictions import Predictions, PredictionsError
from AEROBI.run import run_dir_checks
from AEROBI.run.regular_files import regular
from AEROBI.search_space.spaces import AnyArchitecture, MacroSpace, Space, parse_any

SPLITS = ("val", "test")
_MOST_EPOCHS = 1_000_000  # a larger number is damage


class Sampled(NamedTuple):
    """An architecture that a search printed."""

    epoch: int  # from 0
    architecture: AnyArchitecture
    exact_match: float  # of one batch; nan where the log does not say
    images: int | None  # of that batch


def number(value: Any, otherwise: float = math.nan) -> float:
    """A finite JSON number as a float, anything else as `otherwise`."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return otherwise
    try:
        result = float(value)
    except OverflowError:
        return otherwise
    return result if math.isfinite(result) else otherwise


def read_text(path: Path, notes: list[str]) -> str:
    """The content of a text file; empty where there is no such file."""
    if not path.is_file():  # neither a folder nor a pipe
        return ""
    try:
        # Only \n ends a line here: progress bars go back to its start with \r.
        with open(path, encoding="utf-8", errors="replace", newline="\n", opener=regular) as file:
            return file.read()
    except OSError as error:
        notes.append(f"{path.name} cannot be read ({error.strerror or error}).")
        return ""


def read_object(path: Path, notes: list[str]) -> dict[str, Any]:
    """The object of a JSON file; empty where there is none."""
    text = read_text(path, notes)
    try:
        record = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        notes.append(f"{path.name} is damaged and left out.")
        return {}
    return record


def json_lines(path: Path, notes: list[str]) -> Iterator[dict[str, Any]]:
    """The records of a file; what follows the last line end is a line still being written."""
    damaged = 0
    for line in read_text(path, notes).split("\n")[:-1]:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            yield record
        elif line:
            damaged += 1
    if damaged:
        notes.append(f"{path.name}: {damaged} damaged line{'s' * (damaged != 1)} left out.")


def records_of_json_lines(path: Path, notes: list[str],
                          search_for: Any = None) -> dict[str, list]:
    """`child`, `controller`, `evaluations` and `sampled` of a run folder's JSON lines."""
    found: dict[str, list] = {"child": [], "controller": [], "evaluations": [], "sampled": [],
                              "trained_alone": []}
    lists = {"child": "child", "controller": "controller", "evaluation": "evaluations",
             "alone": "trained_alone"}
    for record in json_lines(path / run_dir_checks.METRICS, notes):
        kind = record.get("kind")
        if isinstance(kind, str) and kind in lists:
            found[lists[kind]].append(record)
    wrong = 0
    for record in json_lines(path / run_dir_checks.ARCHITECTURES, notes):
        architecture = parse_architecture(record.get("architecture"), search_for)
        epoch = number(record.get("epoch"))
        if architecture is None or not 0 <= epoch <= _MOST_EPOCHS:
            wrong += 1
            continue
        images = number(record.get("images"), 0)
        found["sampled"].append(Sampled(int(epoch), architecture,
                                        number(record.get("exact_match")), int(images) or None))
    if wrong:
        notes.append(f"{run_dir_checks.ARCHITECTURES}: {wrong} without a valid architecture left "
                     "out.")
    found["sampled"] = _same_depth(found["sampled"])
    return found


def records_of_log(text: str, notes: list[str]) -> dict[str, list]:
    """The same records from a log in the published format, which says less."""
    lines = text.split("\n")
    space = space_of_log(lines) or MacroSpace(1)
    log, search_for = _parse_log(lines, space, notes), space.search_for
    evaluations = [
        {"split": split, "epoch": evaluation.epoch, "exact_match": value}
        for evaluation in log.evaluations
        for split, value in (("val", evaluation.valid), ("test", evaluation.test))
        if value is not None]
    batch = log.child[0].batch_size if log.child else None
    sampled = []
    for printed in log.architectures:
        architecture = parse_architecture(" ".join(map(str, printed.numbers)), search_for)
        if architecture is not None:
            exact = math.nan if printed.val_acc is None else printed.val_acc
            sampled.append(Sampled(printed.epoch or 0, architecture, exact, batch))
    return {"child": [{**record._asdict(), "images": record.batch_size} for record in log.child],
            "controller": [record._asdict() for record in log.controller],
            "evaluations": evaluations, "sampled": _same_depth(sampled)}


def _parse_log(lines: list[str], space: Space, notes: list[str]) -> PublishedLog:
    try:
        return parse(lines, space)
    except LogError as error:
        notes.append(f"The architectures in stdout are left out: {error}.")
        return parse([line for line in lines if not line.lstrip().startswith("[")
                      and "val_acc=" not in line], MacroSpace(1))


def _same_depth(sampled: list[Sampled]) -> list[Sampled]:
    """The samples of the same size as the first: a run has one."""
    return [sample for sample in sampled
            if _size(sample.architecture) == _size(sampled[0].architecture)]


def _size(architecture: AnyArchitecture) -> tuple[type, int]:
    return type(architecture), len(architecture.ops)


def parse_architecture(text: Any, search_for: Any = None) -> AnyArchitecture | None:
    """Reads a written form of any size; None where it is not one.

    `search_for`: what a configuration says; else the count of numbers tells cells.
    """
    try:
        return parse_any(text, search_for) if isinstance(text, str) else None
    except ArchitectureError:
        return None


def read_best(path: Path, log: str, notes: list[str],
              search_for: Any = None) -> dict[str, Any]:
    """The architecture that a search named, and its exact match, which only the log has."""
    text = read_text(path / run_dir_checks.BEST_ARCHITECTURE_FILE, notes).strip()
    best = parse_architecture(text, search_for)
    if best is None:
        if text:
            notes.append(f"{run_dir_checks.BEST_ARCHITECTURE_FILE} holds no architecture.")
        return {}
    match = re.search(rf"\(exact match (\d\.\d+)\): {best}\s*$", log, re.MULTILINE)
    return {"best": best, "best_exact_match": float(match[1]) if match else math.nan}


def read_ranking(path: Path, notes: list[str]) -> Ranking | None:
    """architectures.json of a run folder, None where there is none."""
    file = path / run_dir_checks.RANKING
    if not file.is_file():
        return None
    try:
        return ranking.load(file)
    except (RankingError, OSError) as error:
        notes.append(f"{run_dir_checks.RANKING} is left out: {_reason(error, file)}.")
        return None


def read_predictions(path: Path, notes: list[str]) -> dict[str, Predictions]:
    """Split -> what a run folder has of it."""
    found = {}
    for split in SPLITS:
        file = path / split_predictions.file_name(split)
        if not file.is_file():
            continue
        try:
            found[split] = split_predictions.load(file)
        except (PredictionsError, OSError) as error:
            notes.append(f"{file.name} is left out: {_reason(error, file)}.")
    return found


def _reason(error: Exception, file: Path) -> str:
    """What the error says, without the path, which is the run's own."""
    return str(error).removeprefix(f"{file}: ")
