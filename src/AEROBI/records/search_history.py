"""The course of a search, for drawing: what was sampled, and the accuracies that a log has."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from AEROBI.architecture import Architecture, ArchitectureError
from AEROBI.micro.cells import PER_NODE, MicroArchitecture
from AEROBI.records.log_extract import ARCHITECTURES_FILE, VALID_FILE, read_log
from AEROBI.records.log_space import space_of_rows
from AEROBI.records.published_log import LogError, PublishedLog
from AEROBI.run.regular_files import read_json, regular
from AEROBI.search_space.spaces import (
    AnyArchitecture,
    MacroSpace,
    MicroSpace,
    Space,
    is_of_layers,
    space_of_values,
)

_LOG_FILE = "stdout"
_PUBLISHED_LAYERS = 7


class HistoryError(ValueError):
    """A search that cannot be drawn; the message names the file."""


class SearchHistory(NamedTuple):
    """n sampled architectures in their order, m evaluations; unknown accuracies are NaN."""

    architectures: tuple[AnyArchitecture, ...]
    batch_accuracy: np.ndarray  # float64 [n]: exact match that each was printed with
    evaluated_after: np.ndarray  # float64 [m]: architectures sampled until then
    valid_accuracy: np.ndarray  # float64 [m]: exact match on the validation split
    printed_with: str = "one batch"  # or "expected": of a search without shared weights


def read(source: Path, num_layers: int | None = None) -> SearchHistory:
    """Reads a run directory, a log, or the arc_string_output.txt of the extraction script.

    The latter has a line for each layer, as published, for each cell, or for each architecture.
    Beside it, valid_accuracy_array.npy is read too. Without `num_layers` it is that of
    the config.json beside the log, else 7; a file of strings tells it by itself, and so does a
    log of cells.

    Raises:
        HistoryError: no architectures, or other ones than `num_layers` layers.
        OSError: a file cannot be read.
    """
    path = _file_of(source)
    with open(path, encoding="utf-8", errors="replace", opener=regular) as file:
        first = next((line for line in file if line.strip()), "")
    if re.fullmatch(r"[\d\s]+", first):
        return _from_strings(path, num_layers)
    try:
        log = read_log(path, num_layers or _configured_layers(path))
    except LogError as error:
        raise HistoryError(f"{error} (--arc-length gives the number of layers)") from None
    if not log.architectures:
        raise HistoryError(f"{path}: no architectures; only the log of a search has them")
    return _from_log(path, log)


def chosen_operations(architectures: Sequence[AnyArchitecture]) -> np.ndarray:
    """bool [n, k, operations]: which operation each layer has; all have as many layers.

    Of cells each node has two: k = 4 nodes, in the written order.
    """
    ops = np.array([architecture.ops for architecture in architectures])
    return ops[..., np.newaxis] == np.arange(len(architectures[0].operations))


def operation_shares(architectures: Sequence[AnyArchitecture], window: int) -> np.ndarray:
    """float64 [n, operations]: of the layers of the last `window` architectures at each."""
    counts = chosen_operations(architectures).sum(axis=1, dtype=float)
    recent = _windowed_sum(counts, window)
    return recent / recent.sum(axis=1, keepdims=True)


def running_mean(values: np.ndarray, window: int) -> np.ndarray:
    """float64 [n]: mean of the last `window` values that are numbers; NaN where there is none."""
    known = np.isfinite(values)
    sums = _windowed_sum(np.where(known, values, 0.0), window)
    counts = _windowed_sum(known.astype(float), window)
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)


def _windowed_sum(values: np.ndarray, window: int) -> np.ndarray:
    """The sum of the last `window` rows at each; of fewer at the start."""
    total = np.cumsum(values, axis=0)
    total[window:] -= total[:-window].copy()
    return total


def _file_of(source: Path) -> Path:
    """The file to read: `source` itself, or the one of a directory."""
    if not source.exists():
        raise HistoryError(f"{source}: no such file or directory")
    if not source.is_dir():
        return source
    for name in (_LOG_FILE, ARCHITECTURES_FILE):
        if (source / name).is_file():
            return source / name
    raise HistoryError(f"{source}: neither {_LOG_FILE} nor {ARCHITECTURES_FILE} in it; give the "
                       "directory of a search or a log")


def _configuration(path: Path) -> dict[str, Any]:
    """The values of flags in the config.json beside a file; empty without one that has them."""
    try:
        values = read_json(path.with_name("config.json"))["configuration"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return values if isinstance(values, dict) else {}


def _printed_with(log: Path) -> str:
    """What the exact matches of printed architectures are."""
    return "expected" if _configuration(log).get("child_alone_epochs") else "one batch"


def _configured(path: Path) -> Space | None:
    """The space that the config.json beside a file tells of."""
    try:
        return space_of_values(_configuration(path))
    except (ValueError, KeyError, TypeError):
        return None


def _configured_layers(log: Path) -> int:
    """The number of layers in the config.json beside a log; without one, the published number."""
    space = _configured(log)
    return space.num_layers if isinstance(space, MacroSpace) else _PUBLISHED_LAYERS


def _from_log(path: Path, log: PublishedLog) -> SearchHistory:
    space = space_of_rows([len(row) for row in log.architectures[0].rows])
    architectures = tuple(
        _checked(f"{path}, architecture {number}", printed.numbers, space)
        for number, printed in enumerate(log.architectures, start=1))
    batch = [np.nan if printed.val_acc is None else printed.val_acc
             for printed in log.architectures]
    evaluations = [evaluation for evaluation in log.evaluations if evaluation.valid is not None]
    epochs = [printed.epoch for printed in log.architectures]
    after = _even(len(evaluations), len(architectures))
    if None not in epochs and None not in [evaluation.epoch for evaluation in evaluations]:
        # A controller phase comes before the evaluation of its epoch.
        after = np.array([sum(epoch <= evaluation.epoch for epoch in epochs)
                          for evaluation in evaluations], float)
    return SearchHistory(architectures, np.array(batch, float), after,
                         np.array([evaluation.valid for evaluation in evaluations], float),
                         _printed_with(path))


def _from_strings(path: Path, num_layers: int | None) -> SearchHistory:
    text = path.read_text(encoding="utf-8", errors="replace")
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1)
             if line.strip()]
    space = MacroSpace(num_layers) if num_layers else _space_of_strings(path, lines)
    lines = _joined(lines, space)
    if space is None:
        first, line = lines[0]
        space = MacroSpace(_checked(f"{path}, line {first}", line, None).num_layers)
    architectures = tuple(_checked(f"{path}, line {number}", line, space)
                          for number, line in lines)
    valid = _saved_accuracies(path.with_name(VALID_FILE))
    return SearchHistory(architectures, np.full(len(architectures), np.nan),
                         _even(len(valid), len(architectures)), valid)


def _space_of_strings(path: Path, lines: list[tuple[int, str]]) -> MicroSpace | None:
    """The cells that a file of strings is of; None: whole networks."""
    configured, count = _configured(path), len(lines[0][1].split())
    if isinstance(configured, MicroSpace):
        return configured
    if count % PER_NODE or _is_network(lines[0][1]):
        return None
    try:
        whole = [MicroArchitecture.parse(line) for _, line in lines]
        return MicroSpace(whole[0].num_nodes)
    except ArchitectureError:  # a line for each cell
        return MicroSpace(count // PER_NODE)


def _is_network(line: str) -> bool:
    """Whether it is a whole network; 28 numbers could as well be a cell of 7 nodes."""
    try:
        return is_of_layers(len(line.split())) and bool(Architecture.parse(line))
    except ArchitectureError:
        return False


def _joined(lines: list[tuple[int, str]], space: Space | None) -> list[tuple[int, str]]:
    """Architectures that have a line for each layer, or for each cell, on one line."""
    lengths = [len(line.split()) for _, line in lines]
    if isinstance(space, MicroSpace):
        if lengths[0] != PER_NODE * space.num_cells:
            return lines
        begins = [i % 2 == 0 for i in range(len(lines))]
    elif lengths[0] > 1:
        return lines
    else:
        begins = [length == 1 for length in lengths]  # an operation alone
    joined: list[tuple[int, str]] = []
    for begin, (number, line) in zip(begins, lines):
        if begin:
            joined.append((number, line))
        else:
            joined[-1] = (joined[-1][0], f"{joined[-1][1]} {line}")
    return joined


def _checked(where: str, written: str | list[int], space: Space | None) -> AnyArchitecture:
    try:
        if isinstance(written, str):
            return Architecture.parse(written) if space is None else space.parse(written)
        return space.from_numbers(written)
    except ArchitectureError as error:
        raise HistoryError(f"{where}: {error}") from None


def _saved_accuracies(path: Path) -> np.ndarray:
    """float64 [m] of an .npy file; empty where there is none."""
    if not path.is_file():
        return np.zeros(0)
    try:
        values = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise HistoryError(f"{path}: not an array of accuracies ({error})") from None
    if values.ndim != 1 or values.dtype.kind not in "fiu":
        raise HistoryError(f"{path}: not an array of accuracies")
    return values.astype(float)


def _even(evaluations: int, architectures: int) -> np.ndarray:
    """Where a log has no epochs: evaluations at equal distances, the last at the end."""
    return np.arange(1, evaluations + 1) * (architectures / max(evaluations, 1))
