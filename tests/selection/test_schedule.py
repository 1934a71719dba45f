"""Successive halving as numbers."""

import pytest

from AEROBI.config import ConfigError
from AEROBI.selection.schedule import Schedule, make_schedule


def test_half_are_dropped_and_the_rest_go_on():
    schedule = make_schedule(8, 40, 2, None, 1)
    assert schedule.rungs == (5, 10, 20, 40)
    assert schedule.entrants(8) == [8, 4, 2, 1]
    assert schedule.epochs(8) == 8 * 5 + 4 * 5 + 2 * 10 + 1 * 20


def test_others_than_powers():
    assert make_schedule(9, 27, 3, None, 1).rungs == (3, 9, 27)
    assert make_schedule(5, 20, 2, None, 1).entrants(5) == [5, 3, 2, 1]
    assert make_schedule(1, 20, 2, None, 1) == Schedule((20,), 2)
    assert make_schedule(8, 4, 2, None, 1).rungs == (1, 2, 4)  # too few epochs for four rungs
    assert make_schedule(8, 40, 2, None, 4).rungs == (8, 12, 20, 40)  # each ends evaluated


def test_annealed_rungs_cost_their_epochs_anew_and_are_not_too_short():
    schedule = make_schedule(24, 12, 4, None, 1, annealed=True)
    assert schedule == Schedule((3, 12), 4, annealed=True)
    assert schedule.lengths == (3, 12) and schedule.entrants(24) == [24, 6]
    assert schedule.epochs(24) == 24 * 3 + 6 * 12
    assert make_schedule(64, 24, 2, None, 1, annealed=True).rungs == (3, 6, 12, 24)
    assert make_schedule(8, 4, 2, None, 1, annealed=True).rungs == (4,)  # 2 epochs do not anneal
    assert Schedule((3, 12), 4).lengths == (3, 9)


def test_one_rung_is_random_search():
    schedule = make_schedule(6, 10, 2, (10,), 1)
    assert schedule.entrants(6) == [6] and schedule.epochs(6) == 60


@pytest.mark.parametrize("rungs, every", [((2, 2), 1), ((3, 2), 1), ((2, 11), 1), ((1, 4), 2)])
def test_rungs_that_cannot_be(rungs, every):
    with pytest.raises(ConfigError, match="--rungs"):
        make_schedule(4, 10, 2, rungs, every)
