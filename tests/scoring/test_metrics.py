"""Metrics against scikit-learn and against numbers worked out by hand."""

import json
import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from AEROBI.scoring import metrics

NAMES = ("Background", "Crack", "Spallation", "Efflorescence", "ExposedBars", "CorrosionStain")


def random_case(seed, images=97, ties=True):
    """Scores with many ties; label 4 has no positives, label 5 is never predicted."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(images, 6)).astype(np.float32)
    if ties:
        scores = np.round(scores, 1)
    labels = (rng.random((images, 6)) < 0.3).astype(np.uint8)
    labels[:, 4] = 0
    scores[:, 5] = -np.abs(scores[:, 5]) - 0.1
    return scores, labels


@pytest.mark.parametrize("seed", range(8))
def test_agrees_with_scikit_learn(seed):
    scores, labels = random_case(seed, ties=seed % 2 == 0)
    result = metrics.evaluate(scores, labels, NAMES)
    predicted = (1 / (1 + np.exp(-scores.astype(np.float64))) >= 0.5).astype(int)
    expected = sklearn_metrics.precision_recall_fscore_support(labels, predicted, zero_division=0)
    for ours, theirs in zip((result.precision, result.recall, result.f1, result.positives),
                            expected):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert result.exact_match == pytest.approx(sklearn_metrics.accuracy_score(labels, predicted))
    assert result.images == len(labels)
    for k in range(6):
        assert result.accuracy[k] == pytest.approx(
            sklearn_metrics.accuracy_score(labels[:, k], predicted[:, k]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn warns about the label without positives
        average = sklearn_metrics.average_precision_score(labels, scores, average=None)
    has_positives = labels.any(0)
    np.testing.assert_allclose(
        result.average_precision[has_positives], average[has_positives], rtol=1e-12)
    assert np.isnan(result.average_precision[~has_positives]).all()
    assert result.mean_average_precision == pytest.approx(average[has_positives].mean())
    assert result.mean_label_accuracy == pytest.approx((predicted == labels).mean())


def test_by_hand():
    logits = np.array([[2.0, -1.0], [0.0, 1.0], [-3.0, 1.0]], np.float32)
    labels = np.array([[1, 0], [0, 1], [1, 0]], np.uint8)
    result = metrics.evaluate(logits, labels, ("a", "b"))
    assert result.exact_match == pytest.approx(1 / 3)  # a logit of 0 predicts the label
    assert result.mean_label_accuracy == pytest.approx(3 / 6)
    assert result.precision.tolist() == [0.5, 0.5]
    assert result.recall.tolist() == [0.5, 1.0]
    # a: hits at ranks 1 and 3; b: one hit among two tied at the top.
    np.testing.assert_allclose(result.average_precision, [(1 + 2 / 3) / 2, 0.5])
    assert result.positives.tolist() == [2, 1]


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_scores_are_ties(value):
    scores = np.full([4, 1], value, np.float32)
    result = metrics.evaluate(scores, np.array([[1], [0], [0], [0]], np.uint8), ("a",))
    assert result.average_precision.tolist() == [0.25]


def test_a_diverged_child_is_counted_not_refused():
    scores = np.full([2, 2], np.nan, np.float32)
    result = metrics.evaluate(scores, np.array([[0, 0], [1, 0]], np.uint8), ("a", "b"))
    assert result.exact_match == 0.5
    assert math.isnan(result.mean_average_precision)


def test_no_label_has_positives():
    result = metrics.evaluate(np.ones([3, 2]), np.zeros([3, 2], np.uint8), ("a", "b"))
    assert math.isnan(result.mean_average_precision)
    assert result.f1.tolist() == [0, 0]


def test_record_is_strict_json():
    scores, labels = random_case(0)
    record = metrics.to_record(metrics.evaluate(scores, labels, NAMES))
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert list(record["labels"]) == list(NAMES)
    assert record["labels"]["ExposedBars"]["average_precision"] is None
    assert record["labels"]["ExposedBars"]["positives"] == 0
    assert record["images"] == 97
    nothing = metrics.evaluate(np.ones([1, 1]), np.zeros([1, 1], np.uint8), ("a",))
    assert metrics.to_record(nothing)["mean_average_precision"] is None


def test_table_is_aligned():
    scores, labels = random_case(0)
    result = metrics.evaluate(scores, labels, NAMES)
    head, *rows = metrics.table(result).splitlines()[:7]
    assert {len(row) for row in rows} == {len(head)}
    assert [row.split()[0] for row in rows] == list(NAMES)
    assert rows[4].split()[-1] == "-"
    assert f"exact match          {result.exact_match:.4f}" in metrics.table(result)


@pytest.mark.parametrize("scores, labels, names, part", [
    (np.zeros([3, 2]), np.zeros([3, 1], np.uint8), ("a", "b"), "scores [3, 2] and labels [3, 1]"),
    (np.zeros(3), np.zeros(3, np.uint8), ("a",), "[images, classes]"),
    (np.zeros([3, 2]), np.zeros([3, 2], np.uint8), ("a",), "2 columns"),
    (np.zeros([3, 2]), np.zeros([3, 2], np.uint8), ("a", "a"), "different name"),
    (np.zeros([0, 2]), np.zeros([0, 2], np.uint8), ("a", "b"), "nothing to evaluate"),
    (np.zeros([1, 1]), np.array([[2]], np.uint8), ("a",), "only 0 and 1"),
])
def test_refuses(scores, labels, names, part):
    with pytest.raises(ValueError) as error:
        metrics.evaluate(scores, labels, names)
    assert part in str(error.value)
