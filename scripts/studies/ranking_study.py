#!/usr/bin/env python3
"""Does what a search goes by rank architectures as training them alone does?

Random architectures are trained alone, each with several seeds. That is the truth, and the rank
correlation (Kendall's τ) between two halves of the seeds is about what a perfect signal can reach.
Every signal is held against it: parameters, multiply-adds, skips, the shared weights of each search
by every kind of BN statistics and measure, or what a search without them expects of an architecture
that it has not trained, a training of --short epochs, and the validation of one
seed's whole training against the other seeds; and where the architectures that a search chose
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

from AEROBI.config import REWARDS, RunConfig
from AEROBI.flags import presets, table
from AEROBI.flags.resolve import resolve
from AEROBI.records import ranking, split_predictions
from AEROBI.run.claims import claim
from AEROBI.run.whole_files import replace_file
from AEROBI.scoring.metrics import worth
from AEROBI.search_space.spaces import AnyArchitecture, space_of, space_of_values

RESAMPLES = 2000
SCORE, PLOT = "score.json", "ranking.png"  # of a training; of the study


class Study(NamedTuple):
    """What is trained, and where it lies."""

    output_dir: pathlib.Path
    seeds: range
    flags: list[str]  # of `aerobi final`; architecture, seed and folder are the study's
    place: str = "alone"  # folder of the trainings

    @property
    def config(self) -> RunConfig:
        """Of the training of some architecture, as if there were a single class."""
        values = table.parse(presets.words("final", self.flags))
        some = space_of_values(values).random(np.random.default_rng(0))
        return resolve({**values, "child_fixed_arc": str(some)}, ("class",), "NHWC")

    def folder(self, name: str, seed: int) -> pathlib.Path:
        """Of one training."""
        return self.output_dir / self.place / f"{name}_{seed}"


class Score(NamedTuple):
    """Exact match of the best epoch on validation."""

    both: float  # on validation and test images together
    val: float


def train_alone(study: Study, architectures: dict[str, AnyArchitecture]) -> dict[str, list[Score]]:
    """By name, what the training with each seed came to.

    A training that another process is at is waited for at the end.
    """
    pieces = [(name, seed) for name in architectures for seed in study.seeds]
    for wait in (False, True):
        for name, seed in tqdm(pieces, "training", disable=None):
            folder = study.folder(name, seed)
            folder.mkdir(parents=True, exist_ok=True)
            held = None if (folder / SCORE).exists() else claim(folder / "claim", wait)
            if held is not None:
                with held:
                    _train(study, architectures[name], seed, folder)
    return {name: [Score(**json.loads((study.folder(name, seed) / SCORE).read_text()))
                   for seed in study.seeds] for name in architectures}


def _train(study: Study, architecture: AnyArchitecture, seed: int, folder: pathlib.Path) -> None:
    if (folder / SCORE).exists():  # another process came to its end meanwhile
        return
    own = {"child_fixed_arc": architecture, "seed": seed, "output_dir": folder / "run"}
    subprocess.run(
        [sys.executable, "-m", "AEROBI.cli", "final", *study.flags,
         *(f"--{name}={value}" for name, value in own.items())],
        check=True, stdout=subprocess.DEVNULL)
    val, test = (split_predictions.load(folder / "run" / split_predictions.file_name(split))
                 for split in ("val", "test"))
    score = Score(worth("exact_match", np.concatenate([val.logits, test.logits]),
                        np.concatenate([val.labels, test.labels])),
                  worth("exact_match", val.logits, val.labels))
    replace_file(folder / SCORE, json.dumps(score._asdict()).encode())


def signals_of(architectures: Sequence[AnyArchitecture], config: RunConfig,
               searches: Sequence[pathlib.Path]) -> dict[str, list[float]]:
    """By name, what each signal says of each architecture; more is better."""
    space = space_of(config.child)
    costs = [space.cost(architecture, config.child, config.data.img_size)
             for architecture in architectures]
    signals = {"parameters": [cost.parameters for cost in costs],
               "multiply-adds": [cost.multiply_adds for cost in costs],
               "few skips": [-architecture.skip_rate for architecture in architectures]}
    if len(set(signals["few skips"])) == 1:  # cells have none
        del signals["few skips"]
    for search in searches:
        signals |= _signals_of_search(search, architectures)
    return signals


def _signals_of_search(search: pathlib.Path, architectures: Sequence[AnyArchitecture]
                       ) -> dict[str, list[float]]:
    # Not before it is needed: TensorFlow.
    from AEROBI.flags.from_run_dir import stored_search
    from AEROBI.selection.finished_search import open_search

    if stored_search(search).config.alone_epochs:
        with open_search(search, "") as finished:
            expected = [finished.score(architecture) for architecture in architectures]
        return {f"{search}: expected, {measure}": [getattr(each, measure) for each in expected]
                for measure in ranking.MEASURES}
    signals = {}
    for bn in ranking.BN_MODES:
        with open_search(search, bn) as finished:
            logits = [finished.logits(architecture) for architecture in architectures]
        signals |= {f"{search}: {bn}, {measure}": [worth(measure, *pair) for pair in logits]
                    for measure in REWARDS}
    return signals


def short_trainings(study: Study, epochs: int,
                    architectures: dict[str, AnyArchitecture]) -> list[float]:
    """The validation exact match of a training of so many epochs, with a seed of its own.

    Its learning rate comes down within them, as in a rung of `aerobi select --train`.
    """
    seed = study.seeds.stop
    shorter = study._replace(
        place=f"alone_{epochs}_epochs", seeds=range(seed, seed + 1),
        flags=[*study.flags, f"--num_epochs={epochs}", f"--child_lr_T_0={epochs}"])
    return [score.val for (score,) in train_alone(shorter, architectures).values()]


def kendall(a: Sequence[float], b: Sequence[float]) -> float:
    """Kendall's τ-b: pairs in the same order less pairs in opposite order; ties are left out."""
    first, second = np.triu_indices(len(a), 1)
    x, y = (np.sign(np.asarray(values)[first] - np.asarray(values)[second]) for values in (a, b))
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


def one_training(truth: np.ndarray, val: np.ndarray) -> float:
    """Mean τ between one seed's validation and the other seeds' truth; [architectures, seeds]."""
    seeds = range(truth.shape[1])
    return float(np.mean([
        kendall(val[:, seed], np.delete(truth, seed, 1).mean(1)) for seed in seeds]))


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
    parser.add_argument("--short", type=int, metavar="EPOCHS", help="a short training of each too")
    options = parser.parse_args(own)
    study = Study(options.output_dir, range(options.seeds), flags)
    config, rng = study.config, np.random.default_rng(1)
    space = space_of(config.child)
    random = [space.random(rng) for _ in range(options.architectures)]
    named = {f"random_{i}": architecture for i, architecture in enumerate(random)}
    trained = train_alone(study, named)
    best = {search.name: space.parse(
        ranking.load(search / ranking.FILE).architectures[0].architecture)
        for search in options.searches}
    scores = train_alone(study, {f"chosen_{name}": architecture
                                 for name, architecture in best.items()})
    chosen = {name: float(np.mean([score.both for score in found]))
              for name, found in scores.items()}
    truth, val = np.moveaxis(np.array(list(trained.values())), 2, 0)
    signals = signals_of(random, config, options.searches)
    if options.short:
        signals[f"alone for {options.short} epochs"] = short_trainings(study, options.short, named)
    replace_file(options.output_dir / "study.json", json.dumps({
        "architectures": list(map(str, random)), "truth": truth.tolist(), "signals": signals,
        "chosen": chosen}).encode())
    lines = report(truth, signals, chosen)
    if options.seeds > 1:
        lines.append(f"one seed's validation against the others: τ {one_training(truth, val):+.2f}")
    sys.stdout.write("\n".join(lines) + "\n")
    draw(options.output_dir / PLOT, truth, signals)
    return 0


def _split(words: list[str]) -> tuple[list[str], list[str]]:
    """Before and after the two dashes."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1:]


if __name__ == "__main__":
    sys.exit(main())
