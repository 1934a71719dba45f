#!/usr/bin/env python3
"""Does what a search goes by rank architectures as training them alone does?

Random architectures are trained alone, each with several seeds. That is the truth, and the rank
correlation (Kendall's τ) between two halves of the seeds is about what a perfect signal can reach.
Every signal is held against it: parameters, multiply-adds, skips, and the shared weights of each
search by every kind of BN statistics and measure; and where the architectures that a search chose
(architectures.json) would stand among the random ones is told from trainings of their own.

A training leaves one folder: started again, the study goes on where it was, and processes that
run at once share the work (one a core: `taskset -c 0 ... & taskset -c 1 ...`). What follows `--`
are flags of `aerobi final`, data and size included:

  ranking_study.py --output_dir study --searches run_1 run_2 -- --data_path=data --img_size=32 ...
"""

import argparse
import json
import pathlib
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from AEROBI.architecture import Architecture
from AEROBI.cost import final_child_cost
from AEROBI.flags import table
from AEROBI.records import ranking, split_predictions
from AEROBI.run.claims import claim
from AEROBI.run.whole_files import replace_file
from AEROBI.scoring.metrics import Metrics, evaluate

RESAMPLES = 2000
SCORE, PLOT = "score.json", "ranking.png"  # of a training; of the study


class Study(NamedTuple):
    """What is trained, and where it lies."""

    output_dir: pathlib.Path
    seeds: int
    flags: list[str]  # of `aerobi final`; architecture, seed and folder are the study's

    @property
    def values(self) -> dict:
        """Of all flags, by name."""
        return table.parse(self.flags)


def train_alone(study: Study, architectures: dict[str, Architecture]) -> dict[str, list[float]]:
    """By name, the exact match of each seed on validation and test images together.

    A training that another process is at is waited for at the end.
    """
    pieces = [(name, seed) for name in architectures for seed in range(study.seeds)]
    for wait in (False, True):
        for name, seed in tqdm(pieces, "training", disable=None):
            folder = study.output_dir / "alone" / f"{name}_{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            held = None if (folder / SCORE).exists() else claim(folder / "claim", wait)
            if held is not None:
                with held:
                    _train(study, architectures[name], seed, folder)
    return {name: [json.loads((study.output_dir / "alone" / f"{name}_{seed}" / SCORE).read_text())
                   for seed in range(study.seeds)] for name in architectures}


def _train(study: Study, architecture: Architecture, seed: int, folder: pathlib.Path) -> None:
    if (folder / SCORE).exists():  # another process came to its end meanwhile
        return
    own = {"child_fixed_arc": architecture, "seed": seed, "output_dir": folder / "run"}
    subprocess.run(
        [sys.executable, "-m", "AEROBI.main", *study.flags,
         *(f"--{name}={value}" for name, value in own.items())],
        check=True, stdout=subprocess.DEVNULL)
    splits = [split_predictions.load(folder / "run" / split_predictions.file_name(split))
              for split in ("val", "test")]
    found = evaluate(np.concatenate([one.logits for one in splits]),
                     np.concatenate([one.labels for one in splits]), splits[0].class_names)
    replace_file(folder / SCORE, json.dumps(found.exact_match).encode())


def signals_of(architectures: Sequence[Architecture], values: dict,
               searches: Sequence[pathlib.Path]) -> dict[str, list[float]]:
    """By name, what each signal says of each architecture; more is better."""
    costs = [final_child_cost(one, values["child_out_filters"], values["img_size"],
                              num_classes=1)  # theirs is the same for all: the order counts
             for one in architectures]
    signals = {"parameters": [one.parameters for one in costs],
               "multiply-adds": [one.multiply_adds for one in costs],
               "few skips": [-one.skip_rate for one in architectures]}
    for search in searches:
        for bn in ranking.BN_MODES:
            found = _shared_scores(search, bn, architectures)
            signals[f"{search}: {bn}, exact match"] = [one.exact_match for one in found]
            signals[f"{search}: {bn}, mean AP"] = [one.mean_average_precision for one in found]
    return signals


def _shared_scores(search: pathlib.Path, bn: str,
                   architectures: Sequence[Architecture]) -> list[Metrics]:
    from AEROBI.selection.finished_search import (
        open_shared_weights,  # not before it is needed: TensorFlow
    )

    with open_shared_weights(search, bn) as shared:
        return [shared.score(one) for one in architectures]


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """Kendall's τ-b: pairs in the same order less pairs in opposite order; ties are left out."""
    first, second = np.triu_indices(len(a), 1)
    x, y = (np.sign(np.asarray(one)[first] - np.asarray(one)[second]) for one in (a, b))
    pairs = np.sqrt(np.count_nonzero(x) * np.count_nonzero(y))
    return float(x @ y / pairs) if pairs else 0.0


def interval(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """Of τ, 95 %: the architectures drawn again with replacement."""
    rng, a, b = np.random.default_rng(0), np.asarray(a), np.asarray(b)
    drawn = rng.integers(len(a), size=(RESAMPLES, len(a)))
    low, high = np.percentile([kendall(a[rows], b[rows]) for rows in drawn], [2.5, 97.5])
    return float(low), float(high)


def halves(truth: np.ndarray) -> float:
    """τ between the means of two halves of the seeds; `truth` [architectures, seeds >= 2]."""
    middle = truth.shape[1] // 2
    return kendall(truth[:, :middle].mean(1), truth[:, middle:].mean(1))


def report(truth: np.ndarray, signals: dict[str, list[float]],
           chosen: dict[str, float]) -> list[str]:
    """Lines of text. Args: `truth` [architectures, seeds], signals, exact match of the chosen."""
    means = truth.mean(1)
    lines = [f"{len(truth)} architectures alone: exact match {means.min():.3f} to "
             f"{means.max():.3f}, mean {means.mean():.3f}, standard deviation "
             f"{means.std(ddof=1):.3f}"]
    if truth.shape[1] > 1:
        lines += [f"between seeds: standard deviation {np.sqrt(truth.var(1, ddof=1).mean()):.3f}",
                  f"noise ceiling: τ between two halves of the seeds {halves(truth):+.2f}"]
    lines += ["", "τ with the truth   95 % interval   signal"]
    for name, values in signals.items():
        low, high = interval(values, means)
        lines.append(f"{kendall(values, means):+.2f}              {low:+.2f} to {high:+.2f}  "
                     f"{name}")
    lines += [f"chosen by {name}: exact match {value:.3f}, percentile "
              f"{100 * (means < value).mean():.0f} of the random ones"
              for name, value in chosen.items()]
    return lines


def draw(path: pathlib.Path, truth: np.ndarray, signals: dict[str, list[float]]) -> None:
    """A scatter plot for each signal."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    columns = 3
    rows = -(-len(signals) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 3 * rows), squeeze=False)
    for axis, (name, values) in zip(axes.flat, signals.items()):
        axis.errorbar(values, truth.mean(1), truth.std(1), fmt="o", markersize=3)
        axis.set_title(f"τ {kendall(values, truth.mean(1)):+.2f}", fontsize=9)
        axis.set_xlabel(name[-40:], fontsize=8)
    figure.supylabel("exact match, trained alone")
    figure.tight_layout()
    figure.savefig(path)
    plt.close(figure)


def main() -> int:
    """Prints the table; everything is kept below --output_dir."""
    own, flags = _split(sys.argv[1:])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--searches", type=pathlib.Path, nargs="*", default=[])
    parser.add_argument("--architectures", type=int, default=24, help="random ones")
    parser.add_argument("--seeds", type=int, default=4, help="trainings of each")
    options = parser.parse_args(own)
    study = Study(options.output_dir, options.seeds, flags)
    values, rng = study.values, np.random.default_rng(1)
    random = [Architecture.random(values["child_num_layers"], rng, values["child_num_branches"])
              for _ in range(options.architectures)]
    trained = train_alone(study, {f"random_{i}": one for i, one in enumerate(random)})
    best = {search.name: Architecture.parse(
        ranking.load(search / ranking.FILE).architectures[0].architecture, random[0].num_layers)
        for search in options.searches}
    chosen = {name: float(np.mean(scores)) for name, scores in train_alone(
        study, {f"chosen_{name}": one for name, one in best.items()}).items()}
    truth = np.array(list(trained.values()))
    signals = signals_of(random, values, options.searches)
    replace_file(options.output_dir / "study.json", json.dumps({
        "architectures": list(map(str, random)), "truth": truth.tolist(), "signals": signals,
        "chosen": chosen}).encode())
    sys.stdout.write("\n".join(report(truth, signals, chosen)) + "\n")
    draw(options.output_dir / PLOT, truth, signals)
    return 0


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Before and after the two dashes."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1:]


if __name__ == "__main__":
    sys.exit(main())
