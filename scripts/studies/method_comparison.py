#!/usr/bin/env python3
"""The search against chance: three methods at equal CPU cost, over seeds, in one table.

    search           a search, then real training of its best
    random halving   random architectures by successive halving (--rungs, --eta), as many as the
                     cost allows
    random           random architectures, each trained in full, likewise

All use the same data, size and final training; CPU time is that of the processes, children
included. What a random architecture costs in each rung is measured first, on a few: those that a
search finds may be much quicker. What is reported is the best of each by validation, and its test
exact match there. Everything lies below --output; started again, the study goes on with the jobs
that are left, and a job that was interrupted begins anew, so that its cost is counted whole.
"""

import argparse
import contextlib
import json
import math
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from AEROBI.records import ranking
from AEROBI.records.run_records import read_run
from AEROBI.run.whole_files import replace_file
from AEROBI.selection.schedule import Schedule

METHODS = ("search", "random halving", "random")
PILOT = 8  # random architectures whose cost is measured
EXAMPLE = """\
example:
  %(prog)s --output study --seeds 1 2 3 --cores 0 1 \\
    --search "--num_epochs=150" --select "--rungs 20" --rungs 5,20 --final "--num_epochs=20" \\
    -- --data_path=data --img_size=48 --child_out_filters=12"""


class Study(NamedTuple):
    """What is compared, and where."""

    output: pathlib.Path
    size: tuple[str, ...]  # flags of every run: data and size
    search: tuple[str, ...]  # flags of the searches
    final: tuple[str, ...]  # flags of the trainings
    select: tuple[str, ...]  # flags of aerobi select
    candidates: int  # of the search that are trained for real
    halving: Schedule  # of random halving
    measure: str  # on validation, that all three choose by


class Outcome(NamedTuple):
    """What one method found with one seed."""

    method: str
    seed: int
    cpu_minutes: float
    candidates: int  # that were trained for real
    architecture: str
    val: float  # best exact match on validation
    test: float  # exact match of that epoch on test


class JobFailedError(RuntimeError):
    """A command that did not end well; the message says which, and where its words are."""


def random_costs(study: Study, core: int | None) -> list[float]:
    """Mean CPU seconds of a random architecture in each rung of the halving."""
    folder = study.output / "pilot"
    _job(folder.with_suffix(".json"), folder, core, [
        "select", str(folder), "--policy=random", f"--train={PILOT}", "--eta=2",
        _rungs(study.halving.rungs), "--", *study.size, *study.final])
    return [statistics.fmean(
        json.loads(file.read_text())["cpu_seconds"]
        for file in (folder / "halving").glob(f"*.rung_{rung + 1}.json"))
        for rung in range(len(study.halving.rungs))]


def _rungs(ends: Sequence[int]) -> str:
    return f"--rungs={','.join(map(str, ends))}"


def run_seed(study: Study, seed: int, core: int | None, costs: Sequence[float]) -> list[Outcome]:
    """The three methods one after the other: the cost of the first is the budget of the others.

    `costs` are those of `random_costs`.
    """
    place = study.output / f"seed_{seed}"
    place.mkdir(parents=True, exist_ok=True)
    flags = [*study.size, f"--seed={seed}"]
    behind = ["--", *flags, *study.final]
    searched = place / "search"
    cost = _job(place / "search.json", searched, core, [
        "search", *flags, *study.search, f"--output_dir={searched}"])
    halving = searched / "halving"
    cost += _job(place / "select.json", halving, core, [
        "select", str(searched), f"--train={study.candidates}", f"--measure={study.measure}",
        *study.select, *behind])
    outcomes = [_outcome(METHODS[0], seed, cost, searched)]
    counts = {METHODS[1]: affordable_halving(cost, study.halving, costs),
              METHODS[2]: max(1, int(cost / costs[-1]))}
    for method, count in counts.items():
        folder = place / method.replace(" ", "_")
        rungs = [_rungs(study.halving.rungs[-1:])] if method == "random" else [
            f"--eta={study.halving.eta}", _rungs(study.halving.rungs)]
        spent = _job(folder.with_suffix(".json"), folder, core, [
            "select", str(folder), "--policy=random", f"--train={count}",
            f"--measure={study.measure}", *rungs, *behind])
        outcomes.append(_outcome(method, seed, spent, folder))
    return outcomes


def affordable_halving(seconds: float, schedule: Schedule, costs: Sequence[float]) -> int:
    """With how many candidates halving stays within so much CPU time; at least 1.

    `costs` are the CPU seconds of one candidate in each rung.
    """
    count = 1
    while sum(entrants * cost for entrants, cost in zip(
            schedule.entrants(count + 1), costs)) <= seconds:
        count += 1
    return count


def _job(record: pathlib.Path, folder: pathlib.Path, core: int | None,
         words: Sequence[str]) -> float:
    """CPU seconds of `aerobi WORDS`, which is run unless it has been."""
    with contextlib.suppress(FileNotFoundError):
        done = json.loads(record.read_text())
        if done["words"] != list(words):
            raise JobFailedError(f"{record}: was run with other flags; name another --output")
        return done["cpu_seconds"]
    shutil.rmtree(folder, ignore_errors=True)
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    log = record.with_suffix(".log")
    with log.open("wb") as file:
        process = subprocess.Popen([*pinned, sys.executable, "-m", "AEROBI.cli", *words],
                                   stdout=file, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)  # of this process alone, not of all jobs
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise JobFailedError(f"{log}: aerobi {words[0]} ended with {process.returncode}")
    seconds = usage.ru_utime + usage.ru_stime
    replace_file(record, (json.dumps({"words": list(words), "cpu_seconds": seconds}) + "\n")
                 .encode())
    return seconds


def _outcome(method: str, seed: int, seconds: float, folder: pathlib.Path) -> Outcome:
    found = ranking.load(folder / ranking.FILE)
    best = found.architectures[0]
    _, val, test = read_run(folder / "halving" / best.trained.run_dir).best_evaluation()
    count = sum(candidate.trained is not None for candidate in found.architectures)
    return Outcome(method, seed, seconds / 60, count, best.architecture, val, test)


def table(outcomes: Sequence[Outcome]) -> str:
    """A line for each method and seed, then the means with their standard errors."""
    lines = ["method          seed  CPU minutes  trained  validation    test  architecture"]
    order = sorted(outcomes, key=lambda outcome: (METHODS.index(outcome.method), outcome.seed))
    lines += map(_line, order)
    lines += ["", "method          seeds    CPU minutes         validation               test"]
    for method in METHODS:
        found = [outcome for outcome in order if outcome.method == method]
        if found:
            lines.append(f"{method:14s}  {len(found):5d}  " + "  ".join(
                _mean(values, digits) for values, digits in (
                    ([outcome.cpu_minutes for outcome in found], 2),
                    ([outcome.val for outcome in found], 4),
                    ([outcome.test for outcome in found], 4))))
    return "\n".join(lines)


def _line(outcome: Outcome) -> str:
    return (f"{outcome.method:14s}  {outcome.seed:4d}  {outcome.cpu_minutes:11.2f}  "
            f"{outcome.candidates:7d}  {outcome.val:10.4f}  {outcome.test:6.4f}  "
            f"{outcome.architecture}")


def _mean(values: Sequence[float], digits: int) -> str:
    error = (statistics.stdev(values) / math.sqrt(len(values))) if len(values) > 1 else math.nan
    return f"{statistics.fmean(values):8.{digits}f} ± {error:6.{digits}f}"


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what is left, prints the table, writes it to table.txt and outcomes.json."""
    argv = list(sys.argv[1:] if argv is None else argv)
    cut = argv.index("--") if "--" in argv else len(argv)
    options = _parser().parse_args(argv[:cut])
    study = Study(options.output, tuple(argv[cut + 1:]), options.search, options.final,
                  options.select, options.train, Schedule(options.rungs, options.eta, True),
                  options.measure)
    cores = options.cores or [None]
    study.output.mkdir(parents=True, exist_ok=True)
    try:
        costs = random_costs(study, cores[0])
        with ThreadPoolExecutor(len(cores)) as pool:
            # Seed i on core i modulo their number: a core has one job at a time.
            lanes = [pool.submit(lambda at=at: [
                outcome for seed in options.seeds[at::len(cores)]
                for outcome in run_seed(study, seed, cores[at], costs)])
                for at in range(len(cores))]
            outcomes = [outcome for lane in lanes for outcome in lane.result()]
    except JobFailedError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    replace_file(study.output / "outcomes.json", (json.dumps(
        [outcome._asdict() for outcome in outcomes], indent=1) + "\n").encode())
    replace_file(study.output / "table.txt", f"{table(outcomes)}\n".encode())
    sys.stdout.write(f"{table(outcomes)}\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="%(prog)s --output FOLDER [options] -- flags of data and size")
    words = {"type": lambda text: tuple(shlex.split(text)), "default": (), "metavar": "FLAGS"}
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], metavar="N")
    parser.add_argument("--cores", type=int, nargs="+", metavar="N",
                        help="one job at a time on each, pinned by taskset; default: one, unpinned")
    parser.add_argument("--train", type=int, default=8, metavar="K",
                        help="candidates of the search that are trained for real (8)")
    parser.add_argument("--rungs", type=lambda text: tuple(map(int, text.split(","))),
                        default=(3, 12), metavar="E,E,...", help="of random halving: epochs after "
                        "which each ends; the last are those of a whole training (3,12)")
    parser.add_argument("--eta", type=int, default=3, metavar="N",
                        help="of random halving: one of N goes on (3)")
    parser.add_argument("--measure", choices=ranking.TRAINED_MEASURES, default="loss",
                        help="on validation, that all three choose by")
    parser.add_argument("--search", help="of the searches, on top of the published preset", **words)
    parser.add_argument("--final", help="of the trainings, likewise", **words)
    parser.add_argument("--select", help="of aerobi select, e.g. --bn=batch", **words)
    return parser


if __name__ == "__main__":
    sys.exit(main())
