"""The sections of a report, each as the plain values and charts that its template takes."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from AEROBI.architecture import Architecture
from AEROBI.drawing.operation_styles import OPERATION_STYLES, styles_of
from AEROBI.drawing.parts import parts
from AEROBI.micro.cells import CELL_INPUTS, CELL_OPERATIONS, Cell
from AEROBI.records.ranking import Candidate
from AEROBI.records.run_records import RunRecords, number
from AEROBI.records.split_predictions import Predictions
from AEROBI.report import charts as report_svg
from AEROBI.report.curves import WORDS, Ranked, ranked
from AEROBI.report.label_tables import label_tables, pairs
from AEROBI.report.wrong_images import wrong_images
from AEROBI.scoring.metrics import exact_matches, precision_recall
from AEROBI.search_space.spaces import AnyArchitecture

MOST_IMAGES = 24
MOST_LABELS = 30  # with a chart of their own, and in the matrix of mistaken ones
GRAPHS, MORE = 6, 14  # architectures with a graph, and without


def share(value: float, decimals: int = 3) -> str:
    """A share as text, a dash where it is not known."""
    return "\N{EN DASH}" if math.isnan(value) else f"{value:.{decimals}f}"


# --- architectures -----------------------------------------------------------------------------


def architectures(run: RunRecords) -> dict[str, Any]:
    """Cards of what the run itself names, then of the best in order, then more strings."""
    named = []
    if run.fixed:
        as_searched = run.config.get("child_network") == "search"
        named.append(_card(run.fixed, "n0", "Trained as it was searched" if as_searched else
                           "Trained from scratch", ""))
    elif run.best:
        named.append(_card(
            run.best, "n0", "Named by the search", (
                "The best that it trained or drew at its end, by the exact match to be expected "
                "of a short training: " if run.trained_alone else
                "The best of ten drawn at its end, by exact match on the whole validation split "
                "with the shared weights: ") + f"{share(run.best_exact_match)}."))
    for card in named:
        card["words"] = _in_words(run.fixed or run.best)
    best = _of_ranking(run) if run.ranking else _of_batches(run)
    cells = any(len(card["graphs"]) > 1 for card in (*named, *best["cards_best"]))
    return {"cards_named": named, "shows_cells": cells, **best}


def _card(architecture: AnyArchitecture, mark: str, title: str, facts: str) -> dict[str, Any]:
    return {"title": title, "facts": facts, "text": str(architecture), "words": {},
            "graphs": report_svg.graphs(architecture, mark)}


def _in_words(architecture: AnyArchitecture) -> dict[str, list[str]]:
    """Of each graph, by its title, a line for each layer or node, numbered as in the graph."""
    return {title: _cell_in_words(part) if isinstance(part, Cell) else _layers_in_words(part)
            for title, part in parts(architecture).items()}


def _cell_in_words(cell: Cell) -> list[str]:
    styles = styles_of(CELL_OPERATIONS)
    return [f"{number}: " + " + ".join(f"{styles[op].label} of {source}"
                                       for op, source in zip(ops, inputs))
            for number, (ops, inputs) in enumerate(zip(cell.node_ops, cell.inputs), CELL_INPUTS)]


def _layers_in_words(architecture: Architecture) -> list[str]:
    lines = []
    for node, (op, bits) in enumerate(zip(architecture.ops, architecture.skips), start=1):
        added = [str(j) for j, bit in enumerate(bits) if bit]
        adds = f", adds {', '.join(added)}" if added else ""
        lines.append(f"{node}: {OPERATION_STYLES[op].label}{adds}")
    return lines


def _of_ranking(run: RunRecords) -> dict[str, Any]:
    """Cards and strings from architectures.json, the ranking of `aerobi select`."""
    ranking = run.ranking
    chosen = "uniformly at random" if ranking.policy == "random" else "by the controller"
    cards = [
        _card(ranking.architecture_of(candidate), f"a{at}",
              f"No. {candidate.rank}",
              f"Exact match {share(number(candidate.exact_match))}{_trained(candidate)}, "
              f"{candidate.parameters:,} parameters, "
              f"{candidate.multiply_adds:,} multiply-adds, drawn {candidate.times_sampled} times"
              f"{', the most likely choice' if candidate.most_likely else ''}.")
        for at, candidate in enumerate(ranking.architectures[:GRAPHS])]
    more = [{"rank": candidate.rank, "score": share(number(candidate.exact_match)),
             "text": candidate.architecture}
            for candidate in ranking.architectures[GRAPHS:GRAPHS + MORE]]
    return {"cards_best": cards, "more": more, "ranking_title": "Selected on the validation split",
            "ranking_note": (
                f"Scored on all {ranking.images} images of the validation split by "
                f"{ranking.judged_by}; chosen {chosen}. Parameters and multiply-adds are those of "
                "the final child."
                + (" Those that were trained for real come first." if ranking.halving else ""))}


def _trained(candidate: Candidate) -> str:
    """What real training says of it, if it was trained."""
    run = candidate.trained
    return "" if run is None else (
        f", trained for {run.epochs} epochs {share(number(run.exact_match))}")


def _of_batches(run: RunRecords) -> dict[str, Any]:
    """Cards and strings of the printed architectures, each with the exact match of its batches."""
    best = ranked(run.sampled)
    cards = [_card(entry.architecture, f"a{at}", f"No. {at + 1}", f"Exact match {_score(entry)}, "
                   f"printed {_times(entry.times)}, last in epoch {entry.last_epoch}.")
             for at, entry in enumerate(best[:GRAPHS])]
    more = [{"rank": at + 1, "score": _score(entry), "text": str(entry.architecture)}
            for at, entry in enumerate(best[GRAPHS:GRAPHS + MORE], start=GRAPHS)]
    return {"cards_best": cards, "more": more, "ranking_title": "Best of those printed",
            "ranking_note": (
                "By the exact match that is to be expected of a training as short as those of the "
                "search. To rank more of them, run aerobi select." if run.trained_alone else
                "By the exact match of the one validation batch that each was printed with. That "
                "is a noisy estimate: the first of many owe much to luck, and later epochs have "
                "better weights. ± is one standard error of so many images. To rank architectures "
                "on the whole split, run aerobi select.")}


def _score(entry: Ranked) -> str:
    error = entry.standard_error
    return share(entry.exact_match) + ("" if math.isnan(error) else f" ± {error:.3f}")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


# --- labels ------------------------------------------------------------------------------------


def split_tables(run: RunRecords, predictions: Mapping[str, Predictions]) -> list[dict[str, Any]]:
    """Metrics per label of a final training; those of a search are of changing architectures."""
    if run.kind != "final" and not predictions:
        return []
    return [{**table._asdict(), "words": WORDS[table.split].capitalize()}
            for table in label_tables(run, predictions)]


def precision_recall_charts(predictions: Mapping[str, Predictions]) -> list[dict[str, Any]]:
    """One chart for each label, both splits in it."""
    names = dict.fromkeys(name for scored in predictions.values() for name in scored.class_names)
    charts = []
    for at, name in enumerate(names):
        lines, notes = [], []
        for split, colour in (("val", "first"), ("test", "second")):
            curve = _curve(predictions.get(split), name)
            if curve is not None:
                recall, precision = curve
                area = float(np.sum(np.diff(recall) * precision[1:]))
                lines.append((colour, recall, precision))
                notes.append(f"{share(area)} ({WORDS[split]})")
        if lines:
            note = f"AP {', '.join(notes)}"
            charts.append({"name": name, "note": note, "svg": report_svg.precision_recall(
                lines, f"p{at}", f"Precision over recall of {name}: {note}")})
    return charts


def _curve(found: Predictions | None, name: str) -> tuple[np.ndarray, np.ndarray] | None:
    """None where no image has the label, or a score is no number."""
    if found is None or name not in found.class_names:
        return None
    at = found.class_names.index(name)
    truth, scores = found.labels[:, at] > 0, found.logits[:, at]
    if not truth.any() or not np.isfinite(scores).all():
        return None
    return precision_recall(scores, truth)


def pair_tables(predictions: Mapping[str, Predictions]) -> list[dict[str, Any]]:
    """The matrix of mistaken labels of each split."""
    tables = []
    for split, scored in predictions.items():
        found = pairs(scored)
        rows = [(name, [_cell(found.class_names, a, b, float(found.share[a, b]),
                              int(found.images[a, b])) for b in range(len(found.class_names))])
                for a, name in enumerate(found.class_names)]
        tables.append({"words": WORDS[split].capitalize(), "names": found.class_names,
                       "rows": rows})
    return tables


def _cell(names: Sequence[str], a: int, b: int, value: float, images: int) -> dict[str, Any]:
    what = f"{names[a]} missed" if a == b else f"{names[b]} wrongly said"
    return {"missed": a == b, "text": share(value, 2), "share": f"{np.nan_to_num(value):.3f}",
            "title": f"{what} in {share(value, 2)} of {images} images"}


def wrong_lists(predictions: Mapping[str, Predictions], data_path: Path | None
                ) -> list[dict[str, Any]]:
    """The most wrong images of each split that has any, MOST_IMAGES in all."""
    lists = []
    for split, scored in predictions.items():
        images = wrong_images(scored, data_path, MOST_IMAGES // len(predictions))
        if images:
            count = int((~exact_matches(scored.logits, scored.labels)).sum())
            lists.append({"words": WORDS[split].capitalize(), "images": images, "count": count})
    return lists
