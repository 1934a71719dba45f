"""What a candidate's training came to, by the records that it left."""

import pytest

from AEROBI.selection.candidate_training import RungResult, _result

RECORD = {"split": "val", "epoch": 0, "exact_match": 0.5, "mean_average_precision": 0.25}


@pytest.mark.parametrize("name", ["split", "epoch", "exact_match"])
@pytest.mark.parametrize("value", [None, "x", [], float("inf"), "gone"])
def test_a_damaged_record_is_left_out(name, value):
    damaged = {**RECORD, "epoch": 1, "exact_match": 0.75, name: value}
    if value == "gone":
        del damaged[name]
    result = _result([RECORD, damaged], "exact_match", RungResult(2, None, None, [], 0.0, ""))
    assert (result.curve, result.exact_match, result.mean_average_precision) == (
        [(1, 0.5)], 0.5, 0.25)


def test_without_a_mean_average_precision():
    result = _result([{**RECORD, "mean_average_precision": None}], "mean_average_precision",
                     RungResult(1, None, None, [], 0.0, ""))
    assert result.exact_match == 0.5 and result.mean_average_precision is None


def test_nothing_that_can_be_read_is_a_failed_training():
    result = _result([{}], "exact_match", RungResult(1, None, None, [], 0.0, ""))
    assert result.failure == "nothing was evaluated"
