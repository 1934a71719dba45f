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


def test_the_epoch_with_the_least_loss():
    records = [{**RECORD, "epoch": epoch, "exact_match": exact, "loss": loss}
               for epoch, exact, loss in ((0, 0.9, 0.3), (1, 0.8, 0.2), (2, 0.7, None))]
    result = _result(records, "loss", RungResult(3, None, None, [], 0.0, ""))
    assert (result.exact_match, result.loss) == (0.8, 0.2)
    assert _result(records[2:], "loss", RungResult(3, None, None, [], 0.0, "")).loss is None
    by_match = _result(records, "exact_match", RungResult(3, None, None, [], 0.0, ""))
    assert (by_match.exact_match, by_match.loss) == (0.9, 0.3)
