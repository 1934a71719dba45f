"""Small run directories, written as a run writes them, for tests of what reads them."""

import json
import pathlib

import numpy as np
from codebrim_tree import write_tree

from AEROBI.records import published_log, ranking, split_predictions
from AEROBI.records.split_predictions import Predictions
from AEROBI.run.append_file import json_line
from AEROBI.scoring import metrics
from AEROBI.search_space.spaces import MacroSpace, MicroSpace, Space

LAYERS, STEPS, EPOCHS, PRINTED = 3, 10, 4, 2
NAMES = ("Background", "Crack", "Spallation")
WHOLE, CELLS = MacroSpace(LAYERS), MicroSpace(3)
OF_CELLS = {"search_for": "micro", "child_num_cells": CELLS.num_cells}  # flags of a run


def write_config(path: pathlib.Path, values: dict) -> None:
    path.mkdir(parents=True, exist_ok=True)
    record = {"format": "AEROBI run", "configuration": {
        "data_path": "nowhere", "num_epochs": EPOCHS, "child_num_layers": LAYERS,
        "child_num_branches": 6, "child_fixed_arc": None, "controller_skip_target": 0.4, **values}}
    (path / "config.json").write_text(json.dumps(record))
    (path / "versions.json").write_text(json.dumps({"AEROBI": "1.0.0", "git_commit": None}))


def write_search(path: pathlib.Path, epochs: int = EPOCHS, config: dict | None = None,
                 space: Space = WHOLE) -> None:
    """A search of `epochs` epochs, with its log; it ends as one that was killed."""
    rng = np.random.default_rng(0)
    lines, records, printed = [], [], []
    for epoch in range(1, epochs + 1):
        for step in (5, 10):
            values = {"epoch": epoch if step == STEPS else epoch - 1,
                      "step": (epoch - 1) * STEPS + step, "loss": round(1 / (epoch + step), 6),
                      "lr": 0.01, "grad_norm": 0.5, "correct": step}
            records.append({"kind": "child", **values, "images": 16})
            lines.append(published_log.child_line(batch_size=16, minutes=0.1, **values))
        lines.append(published_log.controller_header(epoch - 1))
        for sample in range(3):
            values = {"step": 3 * epoch + sample, "loss": 0.1, "entropy": 4.0 - epoch / 4,
                      "lr": 0.001, "grad_norm": 0.1, "exact_match": 0.25,
                      "baseline": 0.1 * epoch}
            records.append({"kind": "controller", "child_step": epoch * STEPS, "reward": 0.25,
                            "skip_rate": 0.5, **values})
            lines.append(published_log.controller_line(minutes=0.1, **values))
        lines.append(published_log.architectures_header(PRINTED))
        for index in range(PRINTED):
            architecture = space.random(rng)
            exact = (epoch + index) / 16
            printed.append({"epoch": epoch - 1, "index": index, "architecture": str(architecture),
                            "exact_match": exact, "images": 16,
                            "skip_rate": architecture.skip_rate})
            lines += published_log.architecture_lines(architecture.rows(), exact)
        lines += _evaluation(records, epoch, {"val": epoch / 8, "test": epoch / 16})
    write_config(path, (OF_CELLS if space is CELLS else {}) | (config or {}))
    _write(path, lines, records, printed)


def write_final(path: pathlib.Path, names: tuple[str, ...] = NAMES, config: dict | None = None
                ) -> list[str]:
    """A final training that went to its end, with a data set; returns its validation images."""
    tree = write_tree(path.parent / f"{path.name}_data")
    write_config(path, {"data_path": str(tree.root), "child_fixed_arc": "0 1 1 4 0 1",
                        **(config or {})})
    lines, records = [], []
    for epoch in range(1, EPOCHS + 1):
        lines += _evaluation(records, epoch, {"val": epoch / 8, "test": epoch / 16})
    lines.append("Test split, weights of the last epoch:")
    _write(path, lines, records, [])
    rng = np.random.default_rng(1)
    for split in ("val", "test"):
        labels = rng.integers(2, size=(len(tree.of(split)), len(names))).astype(np.uint8)
        logits = rng.normal(size=labels.shape)
        logits[0] = np.where(labels[0], -5.0, 5.0)  # nothing right, by far the most wrong
        split_predictions.save(path / split_predictions.file_name(split), Predictions(
            EPOCHS - 1, names, tuple(tree.of(split)), logits.astype(np.float32), labels))
    return tree.of("val")


def write_ranking(path: pathlib.Path, count: int = 2, space: Space = WHOLE) -> list[str]:
    """architectures.json; returns its strings."""
    rng = np.random.default_rng(2)
    found = [ranking.Candidate(rank + 1, str(space.random(rng)), 0.5 - rank / 10,
                               None, 1234, 56789, 1, rank == 0) for rank in range(count)]
    ranking.save(path / ranking.FILE, ranking.Ranking(
        LAYERS, "recalibrated", "controller", 616, tuple(found),
        num_cells=CELLS.num_cells if space is CELLS else None))
    return [candidate.architecture for candidate in found]


def _evaluation(records: list, epoch: int, exact: dict[str, float]) -> list[str]:
    """After so many epochs."""
    lines = [published_log.evaluation_header(epoch - 1)]
    for split, value in exact.items():
        labels = np.eye(3, dtype=np.uint8)
        scored = metrics.to_record(metrics.evaluate(labels - 0.5, labels, NAMES))
        records.append({"kind": "evaluation", "split": split, "epoch": epoch - 1,
                        "step": epoch * STEPS, **scored, "exact_match": value})
        lines += [published_log.evaluation_step(epoch * STEPS),
                  published_log.accuracy_line({"val": "valid"}.get(split, split), value)]
    return lines


def _write(path: pathlib.Path, lines: list, records: list, printed: list) -> None:
    (path / "stdout").write_text("".join(f"{line}\n" for line in lines))
    (path / "metrics.jsonl").write_text("".join(map(json_line, records)))
    (path / "architectures.jsonl").write_text("".join(map(json_line, printed)))
