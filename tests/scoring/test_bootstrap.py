"""Bootstrap intervals."""

import numpy as np
import pytest

from AEROBI.scoring import bootstrap
from AEROBI.scoring.bootstrap import Interval
from AEROBI.scoring.metrics import evaluate

NAMES = ("a", "b")


def made(images: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, (images, 2)).astype(np.uint8)
    return labels * 2.0 - 1 + rng.normal(0, 1.2, (images, 2)), labels


def test_the_interval_of_a_share_is_the_binomial_one():
    scores, labels = made(400)
    measured = evaluate(scores, labels, NAMES)
    found = bootstrap.bootstrap(scores, labels, NAMES, resamples=2000).exact_match
    half = 1.96 * np.sqrt(measured.exact_match * (1 - measured.exact_match) / 400)
    assert found.low == pytest.approx(measured.exact_match - half, abs=0.006)
    assert found.high == pytest.approx(measured.exact_match + half, abs=0.006)


def test_it_covers_the_truth_about_as_often_as_it_says():
    truth = evaluate(*made(40_000, 1), NAMES).mean_label_accuracy
    covered = 0
    for seed in range(60):
        scores, labels = made(80, seed + 2)
        found = bootstrap.bootstrap(scores, labels, NAMES, resamples=200).mean_label_accuracy
        covered += found.low <= truth <= found.high
    assert 50 <= covered <= 60


def test_a_function_of_the_seed():
    scores, labels = made(50)
    runs = [bootstrap.bootstrap(scores, labels, NAMES, seed, 50) for seed in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


def test_a_label_that_no_image_has():
    scores, labels = made(30)
    labels[:, 1] = 0
    found = bootstrap.bootstrap(scores, labels, NAMES, resamples=50)
    assert np.isnan(found.labels["b"]["average_precision"].low)
    assert not np.isnan(found.mean_average_precision.low)
    text = bootstrap.table(evaluate(scores, labels, NAMES), found)
    assert text.splitlines()[2].endswith("-") and "exact match" in text


def test_text():
    assert bootstrap.with_interval(0.8125, Interval(0.77, 0.851)) == "0.812 [0.770, 0.851]"
