#!/usr/bin/env python3
"""Which BN statistics rank architectures as stand-alone training does?

Architectures of a search, half of them from its controller and half of them random, are scored
with the shared weights under each kind of BN statistics, then trained alone, each as a final
training of its own. Printed is Spearman's rank correlation between the two, per kind. Started
again, the study goes on where it was.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import numpy as np

from AEROBI.architecture import Architecture
from AEROBI.flags.from_run_dir import StoredRun, stored_search
from AEROBI.records import split_predictions
from AEROBI.records.ranking import BN_MODES
from AEROBI.scoring.metrics import evaluate
from AEROBI.selection.finished_search import open_shared_weights

Scores = dict[str, list[float]]  # by measure, one for each architecture


def shared_scores(search: pathlib.Path, count: int) -> tuple[list[Architecture], dict[str, Scores]]:
    """The architectures, and by BN statistics what they are worth with the shared weights."""
    scores = {}
    for bn in BN_MODES:
        with open_shared_weights(search, bn) as shared:
            drawn = shared.draw(count // 2, "study") + shared.draw_random(count - count // 2)
            found = [shared.score(one) for one in drawn]
        scores[bn] = {"exact match": [one.exact_match for one in found],
                      "mean AP": [one.mean_average_precision for one in found]}
    return drawn, scores


def train_alone(architecture: Architecture, run: StoredRun, epochs: int,
                run_dir: pathlib.Path) -> dict[str, float]:
    """A final training of its own; its measures on validation and test images together."""
    data, child, train = run.config.data, run.config.child, run.config.train
    flags = {
        "data_path": data.data_path, "cache_dir": data.cache_dir, "img_size": data.img_size,
        "batch_size": data.batch_size, "output_dir": run_dir, "num_epochs": epochs,
        "eval_every_epochs": 2, "child_num_layers": child.num_layers,
        "child_out_filters": child.out_filters, "child_fixed_arc": architecture,
        "child_keep_prob": child.keep_prob, "child_l2_reg": train.l2_reg,
        "child_lr_cosine": True, "child_lr_max": 0.03, "child_lr_min": 1e-5,
        "child_lr_T_0": epochs, "child_lr_T_mul": 2, "controller_search_whole_channels": True}
    command = [sys.executable, "-m", "AEROBI.main", *(f"--{k}={v}" for k, v in flags.items())]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    both = [split_predictions.load(run_dir / split_predictions.file_name(split))
            for split in ("val", "test")]
    result = evaluate(np.concatenate([one.logits for one in both]),
                      np.concatenate([one.labels for one in both]), both[0].class_names)
    return {"exact match": result.exact_match, "mean AP": result.mean_average_precision}


def rank_correlation(a: list[float], b: list[float]) -> float:
    """Spearman's: Pearson's of the ranks, ties with their mean rank."""
    def ranks(values: list[float]) -> np.ndarray:
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def main() -> int:
    """Prints a table; keeps everything below --output_dir."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_dir", type=pathlib.Path, help="output_dir of a search")
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--architectures", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=12, help="of each stand-alone training")
    options = parser.parse_args()
    options.output_dir.mkdir(parents=True, exist_ok=True)
    architectures, shared = shared_scores(options.run_dir, options.architectures)
    run = stored_search(options.run_dir)
    alone = [train_alone(one, run, options.epochs, options.output_dir / f"alone_{i}")
             for i, one in enumerate(architectures)]
    (options.output_dir / "study.json").write_text(json.dumps({
        "architectures": list(map(str, architectures)), "shared": shared, "alone": alone}))
    exact = [one["exact match"] for one in alone]
    sys.stdout.write(f"{len(alone)} architectures, alone: exact match {min(exact):.3f} to "
                     f"{max(exact):.3f}\nBN statistics   shared score   correlation with alone\n")
    for bn, scores in shared.items():
        for measure, values in scores.items():
            correlation = rank_correlation(values, exact)
            sys.stdout.write(f"{bn:15s} {measure:14s} {correlation:+.2f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
