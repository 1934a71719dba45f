"""The front of accuracy against cost: architectures that nothing smaller is as good as."""

from collections.abc import Sequence
from typing import NamedTuple


class Costed(NamedTuple):
    """What one architecture is worth, and what it costs."""

    value: float | None  # the higher, the better; None: not known, never on a front
    parameters: int
    multiply_adds: int


def front(values: Sequence[float | None], costs: Sequence[float]) -> list[bool]:
    """Whether each point is on the Pareto front.

    It is unless another one is at least as good at no more cost, and better in one of the two.

    Args:
        values: the higher, the better; None is on no front.
        costs: the lower, the better; one for each value.
    """
    kept, best = [False] * len(values), float("-inf")
    known = [at for at, value in enumerate(values) if value is not None]
    order = sorted(known, key=lambda at: (costs[at], -values[at]))
    for place, at in enumerate(order):
        twin = place > 0 and (costs[at], values[at]) == (
            costs[order[place - 1]], values[order[place - 1]])
        kept[at] = values[at] > best or (twin and kept[order[place - 1]])
        best = max(best, values[at])
    return kept


def marks(points: Sequence[Costed]) -> list[str]:
    """The mark of each: "p" on the front against parameters, "m" against multiply-adds."""
    values = [point.value for point in points]
    by_parameters = front(values, [point.parameters for point in points])
    by_multiply_adds = front(values, [point.multiply_adds for point in points])
    return ["p" * on_p + "m" * on_m for on_p, on_m in zip(by_parameters, by_multiply_adds)]
