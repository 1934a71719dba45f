"""What the template of a report is given: plain values and charts, in the order of the page.

Names from files are plain strings here; the template escapes them.
"""

import datetime
import json
import math
from pathlib import Path
from typing import Any

from AEROBI.architecture import OPERATIONS
from AEROBI.config import MICRO
from AEROBI.data_utils import data_root
from AEROBI.drawing.operation_styles import styles_of, text_colour
from AEROBI.micro.cells import CELL_OPERATIONS
from AEROBI.records.run_records import RunRecords, number
from AEROBI.report import charts
from AEROBI.report.choices import choices
from AEROBI.report.curves import curves
from AEROBI.report.label_tables import COLUMNS, most_common, usable
from AEROBI.report.rankings import rankings
from AEROBI.report.sections import (
    MOST_LABELS,
    architectures,
    pair_tables,
    precision_recall_charts,
    share,
    split_tables,
    wrong_lists,
)
from AEROBI.report.wrong_images import SIDE
from AEROBI.run import run_dir_checks

_KINDS = {"search": "Architecture search", "final": "Final training", "": "Run"}
_STATES = {
    "running": ("running", "A process is writing into the folder."),
    "finished": ("finished", "It went to its end."),
    "stopped": ("stopped", "No process is writing and the log has no end: it was stopped or "
                "killed."),
    "unknown": ("log only", "A log of the published code does not tell whether its run is over."),
}
_RUN_GROUPS = (
    ("Data", ("data_path", "cache_dir", "img_size", "batch_size", "child_cutout_size",
              "data_format")),
    ("Child", "child_"), ("Controller", "controller_"), ("Run", ""))


def view(run: RunRecords, data_path: Path | None) -> dict[str, Any]:
    """Everything for the template but style and script.

    Args:
        run: as read.
        data_path: the data folder; None: that of the configuration.
    """
    notes = [*run.notes, *_quirks(run)]
    predictions = usable(run.predictions, notes)
    drawn = most_common(predictions, MOST_LABELS, notes)
    stored = run.config.get("data_path")
    data = stored if isinstance(stored, str) else ""
    named = str(data_path or data)
    folder = Path(data_root(named)) if named and "\0" not in named else None
    state, sentence = _STATES[run.state]
    values = {
        "kind": run.kind, "trained_alone": bool(run.trained_alone),
        "title": f"{_KINDS[run.kind]}: {run.path.absolute().name}",
        "state": {"key": run.state, "word": state, "sentence": sentence + _last_written(run.path)},
        "data": data, "tiles": _tiles(run), "notes": notes, "curves": _curves(run),
        **choices(run), **architectures(run), **rankings(run.ranking),
        "operations": _operations(run),
        "tables": split_tables(run, predictions), "columns": list(COLUMNS.values()),
        "precision_recall": precision_recall_charts(drawn),
        "pairs": pair_tables(drawn), "wrong": wrong_lists(predictions, folder),
        "side": SIDE, "groups": _configuration(run)}
    return values | {"contents": _contents(values)}


def _contents(values: dict[str, Any]) -> list[tuple[str, str]]:
    """(anchor, words) of the sections that are there."""
    sections = (("curves", "curves", "Curves"), ("choices", "choices", "What the controller chose"),
                ("trained", "halved", "Trained for real"),
                ("fronts", "fronts", "Accuracy for its cost"),
                ("architectures", "cards", "Architectures"), ("labels", "tables", "Labels"),
                ("precision-recall", "precision_recall", "Precision and recall"),
                ("pairs", "pairs", "Mistaken labels"), ("wrong", "wrong", "Most wrong images"),
                ("configuration", "groups", "Configuration"))
    values = values | {"cards": values["cards_named"] or values["cards_best"]}
    return [(anchor, words) for anchor, key, words in sections if values[key]]


def _last_written(path: Path) -> str:
    times = [(path / name).stat().st_mtime for name in (run_dir_checks.LOG, run_dir_checks.METRICS)
             if (path / name).is_file()]
    if not times:
        return ""
    moment = datetime.datetime.fromtimestamp(max(times)).astimezone()
    return f" Last written {moment:%Y-%m-%d %H:%M %Z}."


def _quirks(run: RunRecords) -> list[str]:
    quirks = run.config.get("reference_quirks")
    return [f"It repeats faults of the published code: {quirks}."] if quirks else []


def _tiles(run: RunRecords) -> list[dict[str, Any]]:
    planned = number(run.config.get("num_epochs"))
    done = run.epochs_done
    tiles = [{"name": "Epochs done", "value": done, "note": "",
              "share": min(1.0, done / planned) if planned > 0 else None}]
    if planned > 0:
        tiles[0]["value"] = f"{done} of {planned:.0f}"
    if best := run.best_evaluation():
        epoch, val, test = best
        tiles += [_tile("Best exact match, validation", share(val), f"epoch {epoch}"),
                  _tile("Exact match there, test", share(test), "not used to choose")]
    if run.sampled:
        different = len({sample.architecture for sample in run.sampled})
        tiles.append(_tile("Architectures printed", len(run.sampled), f"{different} different"))
    in_the_search = ("exact match, expected" if run.trained_alone else
                     "exact match, shared weights")
    if run.kind == "search" and run.ranking:
        first = run.ranking.architectures[0]
        trained = first.trained
        tiles.append(_tile("Best architecture", share(number(first.exact_match)),
                           in_the_search) if trained is None else
                     _tile("Best architecture", share(number(trained.exact_match)),
                           f"exact match, validation, {trained.epochs} epochs"))
    elif run.best and not math.isnan(run.best_exact_match):
        tiles.append(_tile("Best architecture", share(run.best_exact_match),
                           in_the_search))
    return tiles


def _tile(name: str, value: Any, note: str) -> dict[str, Any]:
    return {"name": name, "value": value, "note": note, "share": None}


def _curves(run: RunRecords) -> list[dict[str, Any]]:
    return [{"title": chart.title, "lines": chart.lines if len(chart.lines) > 1 else (),
             "svg": charts.line_chart(chart, f"c{at}")}
            for at, chart in enumerate(curves(run))]


def _operations(run: RunRecords) -> list[dict[str, Any]]:
    """The legend of the run's graphs."""
    ranked = [run.ranking.architecture_of(run.ranking.architectures[0])] if run.ranking else []
    known = (run.fixed, run.best, *(sample.architecture for sample in run.sampled[:1]), *ranked)
    expected = CELL_OPERATIONS if run.config.get("search_for") == MICRO else OPERATIONS
    operations = next((architecture.operations for architecture in known if architecture),
                      expected)
    return [{**style._asdict(), "text": text_colour(style.colour)}
            for style in styles_of(operations)]


def _configuration(run: RunRecords) -> list[tuple[str, list[tuple[str, str]]]]:
    """(group, flags and values); the versions are a group of their own."""
    left = {str(name): _text(value) for name, value in run.config.items()}
    if run.kind == "final":  # there is no controller
        left = {name: value for name, value in left.items() if not name.startswith("controller_")}
    groups = []
    for group, names in _RUN_GROUPS:
        members = names if isinstance(names, tuple) else [
            name for name in left if name.startswith(names)]
        groups.append((group, [(name, left.pop(name)) for name in members if name in left]))
    groups.append(("Versions", [(str(name), _text(value))
                                for name, value in run.versions.items()]))
    return [(group, values) for group, values in groups if values]


def _text(value: Any) -> str:
    """A JSON value as a flag would have it."""
    if value is None or value == "":
        return "\N{EN DASH}"
    return value if isinstance(value, str) else json.dumps(value)
