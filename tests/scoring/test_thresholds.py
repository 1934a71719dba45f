"""Thresholds tuned on validation images."""

import itertools

import numpy as np

from AEROBI.scoring import thresholds
from AEROBI.scoring.metrics import exact_matches


def exact(probabilities, labels, levels) -> int:
    return int(exact_matches(thresholds.scores(probabilities, levels), labels).sum())


def test_a_shifted_label_is_found():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (200, 3)).astype(np.uint8)
    probabilities = np.where(labels, 0.9, 0.1) + rng.uniform(-0.05, 0.05, (200, 3))
    probabilities[:, 1] = np.where(labels[:, 1], 0.35, 0.2)
    levels = thresholds.tune(probabilities, labels)
    assert 0.2 < levels[1] <= 0.35
    assert levels[0] == levels[2] == 0.5  # nothing to gain: as it was
    assert exact(probabilities, labels, levels) == 200


def test_as_good_as_all_pairs_of_thresholds():
    rng = np.random.default_rng(3)
    for _ in range(20):
        labels = rng.integers(0, 2, (12, 2)).astype(np.uint8)
        probabilities = np.clip(labels * 0.4 + rng.random((12, 2)) * 0.6, 0, 1)
        candidates = [np.unique([0.5, *((values[1:] + values[:-1]) / 2)])
                      for values in (np.sort(probabilities[:, k]) for k in range(2))]
        best = max(exact(probabilities, labels, np.array(pair))
                   for pair in itertools.product(*candidates))
        found = exact(probabilities, labels, thresholds.tune(probabilities, labels))
        assert found >= exact(probabilities, labels, np.full(2, 0.5))
        assert found >= best - 1  # one label after the other may stop just before the best pair


def test_degenerate_probabilities():
    labels = np.array([[1], [0]], np.uint8)
    assert thresholds.tune(np.array([[np.nan], [np.nan]]), labels).shape == (1,)
    assert thresholds.tune(np.ones((2, 1)), labels)[0] == 0.5
