"""What the controller chose, place by place: heat maps of shares over epochs.

Of whole networks a place is a layer, with its operation and its skips; of cells it is a node, with
its two operations and its two inputs.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from AEROBI.architecture import Architecture
from AEROBI.drawing.operation_styles import OperationStyle, styles_of
from AEROBI.micro.cells import CELL_INPUTS, CELL_NAMES, MicroArchitecture
from AEROBI.records.run_records import RunRecords, number
from AEROBI.records.search_history import chosen_operations
from AEROBI.report import charts
from AEROBI.report.curves import shares_over_epochs

MOST_PLACES = 24  # with heat maps; of cells half as many in either


class Choice(NamedTuple):
    """What n architectures have in one place."""

    title: str
    also: str  # another name of the place, if it has one
    where: str  # the place within a sentence
    operations: np.ndarray  # float64 [n, operations], the share of each
    sources: np.ndarray  # float64 [n, earlier tensors], the share of each
    source: str  # what an earlier tensor is here
    source_names: Sequence[str]


def choices(run: RunRecords) -> dict[str, Any]:
    """Heat maps in groups; `choices` is empty where no architecture was printed."""
    if not run.sampled:
        return {"choices": []}
    architectures = [sample.architecture for sample in run.sampled]
    of_cells = isinstance(architectures[0], MicroArchitecture)
    groups = choices_in_cells(architectures) if of_cells else {"": choices_in_layers(architectures)}
    shown = {title: group[:MOST_PLACES // len(groups)] for title, group in groups.items()}
    epochs = [sample.epoch for sample in run.sampled]
    styles = styles_of(architectures[0].operations)
    first = 0
    maps = []
    for title, group in shown.items():
        maps.append((title, [_maps(choice, epochs, styles, first + at)
                             for at, choice in enumerate(group)]))
        first += len(group)
    return {"choices": maps, "sampled_count": len(run.sampled), "of_cells": of_cells,
            "column_note": _column_note(epochs) + _left_out(groups, shown),
            "chance": round(100 / _drawn_from(run, of_cells, len(styles)))}


def choices_in_layers(architectures: Sequence[Architecture]) -> list[Choice]:
    """One for each layer; its sources are the skips."""
    operations = chosen_operations(architectures).astype(float)
    return [Choice(f"Layer {layer}", f"node {layer + 1}", f"layer {layer}", operations[:, layer],
                   np.array([architecture.skips[layer] for architecture in architectures], float),
                   "skip", [f"skip {j}" for j in range(layer)])
            for layer in range(architectures[0].num_layers)]


def choices_in_cells(architectures: Sequence[MicroArchitecture]) -> dict[str, list[Choice]]:
    """One for each node of either cell, numbered as in the strings; its sources are the inputs."""
    count = architectures[0].num_nodes
    operations = chosen_operations(architectures)  # of the cells' nodes, two each
    operations = operations.reshape(len(operations), len(CELL_NAMES), count, 2, -1).mean(axis=3)
    names = ["0 before last", "1 last", *(f"node {CELL_INPUTS + node}" for node in range(count))]
    groups = {}
    for cell, cell_name in enumerate(CELL_NAMES):
        group = groups[f"{cell_name.capitalize()} cell"] = []
        for node in range(count):
            inputs = np.array([architecture.cells[cell].inputs[node]
                               for architecture in architectures])
            earlier = names[:CELL_INPUTS + node]
            sources = (inputs[..., np.newaxis] == np.arange(len(earlier))).mean(axis=1)
            place = f"node {CELL_INPUTS + node}"
            group.append(Choice(place.capitalize(), "", f"{place} of the {cell_name} cell",
                                operations[:, cell, node], sources, "input", earlier))
    return groups


def _maps(choice: Choice, epochs: Sequence[int], styles: Sequence[OperationStyle], at: int
          ) -> dict[str, Any]:
    """Captions and heat maps of the place that is drawn as number `at`, from 0."""
    operations = shares_over_epochs(epochs, choice.operations)
    lately = operations.values[:, -max(1, len(operations.epochs) // 5):].mean(1)
    most = int(np.argmax(lately))
    now = f"lately {styles[most].label} {100 * lately[most]:.0f} %"
    return {
        "title": choice.title, "note": f"{choice.also}, {now}" if choice.also else now,
        "operations": charts.heat_map(
            operations, [style.label for style in styles], f"o{at}",
            f"Share of each operation in {choice.where} over epochs; {now}",
            named=not choice.source_names),
        "sources": charts.heat_map(
            shares_over_epochs(epochs, choice.sources), choice.source_names, f"s{at}",
            f"Share of each {choice.source} into {choice.where} over epochs")
        if choice.source_names else ""}


def _column_note(epochs: Sequence[int]) -> str:
    phases = len(set(epochs))
    columns = len(shares_over_epochs(epochs, np.zeros((len(epochs), 1))).epochs)
    return ("A column is one phase." if phases == columns else
            f"A column is the mean of about {phases / columns:.1f} phases.")


def _left_out(groups: dict[str, list[Choice]], shown: dict[str, list[Choice]]) -> str:
    """What is said of places without heat maps, if there are any."""
    (title, every), drawn = next(iter(groups.items())), next(iter(shown.values()))
    if len(drawn) == len(every):
        return ""
    places = "nodes of either cell" if title else "layers"
    return f" Drawn are the first {len(drawn)} of {len(every)} {places}."


def _drawn_from(run: RunRecords, of_cells: bool, known: int) -> float:
    """How many operations the controller could choose from; cells always have all."""
    branches = known if of_cells else number(run.config.get("child_num_branches"), known)
    return min(max(branches, 1), known)
