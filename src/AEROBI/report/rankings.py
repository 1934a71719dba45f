"""The sections of a report on a ranking: fronts of accuracy against cost, and real trainings."""

from collections.abc import Sequence
from typing import Any

from AEROBI.records.front import front
from AEROBI.records.ranking import Candidate, Ranking
from AEROBI.records.run_records import number
from AEROBI.report import charts
from AEROBI.report.sections import share

COSTS = {"parameters": "parameters", "multiply_adds": "multiply-adds"}
MOST_RANKS = 12  # named below a front


def rankings(ranking: Ranking | None) -> dict[str, Any]:
    """What the template takes; `fronts` and `halved` are empty where there is nothing to show."""
    if ranking is None:
        return {"fronts": [], "front_note": "", "halved": None}
    return {"fronts": _fronts(ranking), "front_note": _front_note(ranking),
            "halved": _halved(ranking)}


def _fronts(ranking: Ranking) -> list[dict[str, Any]]:
    """One chart for each kind of cost."""
    known = [candidate for candidate in ranking.architectures
             if number(candidate.exact_match, -1) >= 0
             and all(number(getattr(candidate, name), 0) >= 1 for name in COSTS)]
    return [_front(known, name) for name in COSTS] if len(known) > 1 else []


def _front(known: Sequence[Candidate], name: str) -> dict[str, Any]:
    costs = [getattr(candidate, name) for candidate in known]
    values = [candidate.exact_match for candidate in known]
    best = front(values, costs)
    ranks = [str(candidate.rank) for candidate, is_best in zip(known, best) if is_best]
    return {"title": f"Exact match against {COSTS[name]}",
            "ranks": ", ".join(ranks[:MOST_RANKS]) + (", ..." if len(ranks) > MOST_RANKS else ""),
            "svg": charts.cost_front(costs, values, best, COSTS[name], f"f{name}")}


def _front_note(ranking: Ranking) -> str:
    return (f"Every architecture that was scored, on all {ranking.images} images of the validation "
            f"split by {ranking.judged_by}, over what its final child costs. On the front is what "
            "nothing else is as good as at no more cost. Under a budget: aerobi select "
            "--max_parameters, --max_multiply_adds.")


def _halved(ranking: Ranking) -> dict[str, Any] | None:
    halving = ranking.halving
    trained = [candidate for candidate in ranking.architectures if candidate.trained is not None]
    if halving is None or not trained:
        return None
    last = max(candidate.trained.rung for candidate in trained)
    curves = [("first" if place == 0 else "second" if candidate.trained.rung == last else "muted",
               candidate.trained.curve)
              for place, candidate in enumerate(trained) if candidate.trained.curve]
    best = trained[0].trained
    rungs = (f"trainings of {_listed(halving.rungs)} epochs, each anew" if halving.annealed else
             f"the rungs end after {_listed(halving.rungs)} epochs of {halving.num_epochs}")
    how = (f"Successive halving: {rungs}, and one of {halving.eta} goes on."
           if len(halving.rungs) > 1 else f"Each trained for {halving.rungs[0]} epochs.")
    return {
        "note": (f"{how} Ranked by "
                 f"{halving.measure.replace('_', ' ')} of the best epoch on the validation split; "
                 f"test images had no say. {halving.cpu_minutes:.1f} CPU minutes, scoring "
                 "included."),
        "curves": charts.learning_curves(
            list(reversed(curves)), "halving", f"Validation exact match of {len(trained)} "
            f"candidates over epochs; the best ends at {share(number(best.exact_match))}")
        if curves else "",
        "rows": [_row(candidate) for candidate in trained]}


def _row(candidate: Candidate) -> dict[str, Any]:
    run = candidate.trained
    numbers = [candidate.rank, run.rung, run.epochs, share(number(run.exact_match)),
               share(number(run.mean_average_precision)), share(number(candidate.exact_match)),
               f"{candidate.parameters:,}"]
    return {"numbers": numbers, "run_dir": run.run_dir}


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
