"""The front of accuracy against cost, against its definition."""

import numpy as np

from AEROBI.records.front import Costed, front, marks


def by_definition(values, costs):
    """Nobody is at least as good at no more cost, and better in one of the two."""
    known = [(v, c) for v, c in zip(values, costs) if v is not None]
    return [value is not None and not any(
        v >= value and c <= cost and (v > value or c < cost) for v, c in known)
        for value, cost in zip(values, costs)]


def test_the_front_is_what_nothing_beats():
    rng = np.random.default_rng(0)
    for _ in range(200):
        count = int(rng.integers(1, 12))
        values = [None if rng.random() < 0.1 else float(v) for v in rng.integers(0, 5, count)]
        costs = rng.integers(0, 5, count).tolist()
        assert front(values, costs) == by_definition(values, costs), (values, costs)


def test_marks_name_the_cost():
    points = [Costed(0.9, 50, 10), Costed(0.8, 20, 30), Costed(0.7, 30, 5), Costed(None, 1, 1),
              Costed(0.6, 60, 60)]
    assert marks(points) == ["pm", "p", "m", "", ""]
