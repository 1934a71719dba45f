"""`aerobi select --train`: the plan that all processes share, the trainings, the new ranking."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from AEROBI.config import ConfigError
from AEROBI.records import ranking
from AEROBI.records.ranking import Candidate, Ranking, Trained, numbered, worth
from AEROBI.run.claims import claim
from AEROBI.run.regular_files import read_json
from AEROBI.run.whole_files import replace_file
from AEROBI.selection.candidate_training import Trainings, annealed_name, configured
from AEROBI.selection.halving import Halving, Results, candidate_name, read_results, run_halving
from AEROBI.selection.schedule import Schedule, make_schedule

PLAN = "plan.json"


class Wanted(NamedTuple):
    """What was asked for besides the ranking."""

    candidates: int  # the best so many of the policy's, and the controller's most likely one
    by_chance: int  # the best so many of those that chance drew besides
    eta: int
    rungs: tuple[int, ...] | None  # epochs after which each ends; None: the default
    annealed: bool = True  # each rung is a training of its own


class _Plan(NamedTuple):
    """What plan.json holds: the question, and the ranking that the candidates come from."""

    asked: dict[str, Any]  # by name, what must be the same when it goes on
    ranking: Ranking
    cpu_seconds: float  # of the ranking


def train_candidates(rank: Callable[[], Ranking], wanted: Wanted, asked: Mapping[str, Any],
                     trainings: Trainings, tell: Callable[[str], None]) -> Ranking:
    """Ranks, trains the best by successive halving, ranks them anew.

    Args:
        rank: makes the ranking, where no process has made it yet.
        wanted: how many and how long.
        asked: name -> JSON value: another start of the same folder must ask for the same.
        trainings: what all have in common; the folder is made.
        tell: takes a line for the user.

    Raises:
        ConfigError: flags that cannot be run, or a folder of other trainings.
        ClaimError, CheckpointError, OSError, RunDirectoryError: of the folder.
        Stopped: by a signal; the same command goes on.
    """
    trainings.folder.mkdir(parents=True, exist_ok=True)
    with claim(trainings.folder / "plan.claim", wait=True):
        plan = _read_plan(trainings.folder, asked) or _make_plan(trainings.folder, asked, rank)
    candidates = candidates_of(plan.ranking, wanted)
    architectures = tuple(map(plan.ranking.architecture_of, candidates))
    config, _ = configured(trainings, architectures[0], candidate_name(0))
    schedule = make_schedule(len(candidates), config.num_epochs, wanted.eta, wanted.rungs,
                             config.eval_every_epochs, wanted.annealed)
    tell(cost_line(schedule, len(candidates), config.num_epochs))
    halving = Halving(architectures, schedule, trainings)
    run_halving(halving, tell)
    results = read_results(halving)
    short = {end for end in schedule.rungs if schedule.annealed and end < config.num_epochs}
    seconds = plan.cpu_seconds + sum(
        result.cpu_seconds for rung in results for result in rung.values())
    return dataclasses.replace(
        plan.ranking,
        architectures=_ranked(plan.ranking, candidates, results, trainings.measure, short),
        halving=ranking.Halving(str(trainings.folder), trainings.measure, schedule.eta,
                                schedule.rungs, config.num_epochs, seconds / 60,
                                schedule.annealed))


def cost_line(schedule: Schedule, candidates: int, num_epochs: int) -> str:
    """What the trainings will cost, before they begin."""
    rungs = ", ".join(f"{count} to epoch {end}" for count, end in zip(
        schedule.entrants(candidates), schedule.rungs))
    total = schedule.epochs(candidates)
    return (f"training {candidates} candidates for real ({rungs}): {total} epochs in all, "
            f"{total / num_epochs:.1f} times a whole training of {num_epochs}")


def candidates_of(found: Ranking, wanted: Wanted) -> list[Candidate]:
    """The best of the policy's and the most likely one, and the best of those that chance drew."""
    chosen, left = [], [wanted.by_chance, wanted.candidates]
    for candidate in found.architectures:
        of_policy = candidate.most_likely or candidate.times_sampled > 0
        if candidate.most_likely or left[of_policy] > 0:
            left[of_policy] -= 1
            chosen.append(candidate)
    return chosen


def _ranked(found: Ranking, candidates: list[Candidate], results: Results,
            measure: str, short: set[int]) -> tuple[Candidate, ...]:
    """The trained ones by rung and worth, then the others as they were.

    `short` are the epochs of trainings that have folders of their own (`annealed_name`).
    """
    trained = [dataclasses.replace(candidate, trained=_trained(number, results, short))
               for number, candidate in enumerate(candidates)]
    trained.sort(key=lambda candidate: (candidate.trained.rung, worth(
        candidate.trained.exact_match, candidate.trained.mean_average_precision, measure,
        candidate.trained.loss)),
        reverse=True)
    names = {candidate.architecture for candidate in trained}
    return numbered([*trained, *(candidate for candidate in found.architectures
                                 if candidate.architecture not in names)])


def _trained(number: int, results: Results, short: set[int]) -> Trained:
    """What the last rung of a candidate said of it."""
    rung = max(at for at, found in enumerate(results) if number in found)
    last, name = results[rung][number], candidate_name(number)
    return Trained(rung + 1, last.epochs, last.exact_match, last.mean_average_precision,
                   tuple((int(epochs), float(value)) for epochs, value in last.curve),
                   annealed_name(name, last.epochs) if last.epochs in short else name, last.loss)


def _make_plan(folder: Path, asked: Mapping[str, Any], rank: Callable[[], Ranking]) -> _Plan:
    began = time.process_time()
    plan = _Plan(dict(asked), rank(), time.process_time() - began)
    record = {**plan._asdict(), "ranking": ranking.to_record(plan.ranking)}
    replace_file(folder / PLAN, (json.dumps(record, indent=1) + "\n").encode())
    return plan


def _read_plan(folder: Path, asked: Mapping[str, Any]) -> _Plan | None:
    """The plan of an earlier start; None where there is none."""
    path = folder / PLAN
    try:
        record = read_json(path)
        plan = _Plan(dict(record["asked"]), ranking.from_record(record["ranking"]),
                     float(record["cpu_seconds"]))
    except FileNotFoundError:
        return None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{path}: is no plan of trainings ({error}); remove the folder, or name "
                          "another one with --trainings") from None
    now = json.loads(json.dumps(asked))
    differences = [f"  {name}: {json.dumps(plan.asked.get(name))} there, "
                   f"{json.dumps(now.get(name))} now"
                   for name in {**plan.asked, **now} if plan.asked.get(name) != now.get(name)]
    if differences:
        raise ConfigError("\n".join([
            f"{folder}: holds trainings that were asked for otherwise:", *differences,
            "Ask as before to go on, remove the folder, or name another one with --trainings"]))
    return plan
