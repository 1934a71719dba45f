"""Thresholds of the labels, tuned on validation images for the exact match."""

import numpy as np

DEFAULT = 0.5  # of the published code
SWEEPS = 10  # over the labels; two or three are enough


def tune(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """float32 [classes], one threshold a label: the label holds from this probability on.

    Label after label takes the threshold with the most exact matches while the others keep
    theirs, until nothing gets better. Of equally good ones it is that next to 0.5.

    Args:
        probabilities: float [n, classes].
        labels: uint8 [n, classes], 0 or 1.
    """
    truth = labels > 0
    thresholds = np.full(truth.shape[1], DEFAULT, np.float32)
    for _ in range(SWEEPS):
        before = thresholds.copy()
        for k in range(truth.shape[1]):
            right = (probabilities >= thresholds) == truth
            others_right = np.delete(right, k, 1).all(1)
            thresholds[k] = _best(probabilities[others_right, k], truth[others_right, k],
                                  thresholds[k])
        if np.array_equal(before, thresholds):
            break
    return thresholds


def _best(probabilities: np.ndarray, truth: np.ndarray, current: np.float32) -> np.float32:
    """The threshold between two probabilities [m] that gets most of `truth` [m] right."""
    values = np.unique(np.clip(probabilities, 0.0, 1.0))
    between = (values[1:] + values[:-1]) / 2
    candidates = np.unique(np.concatenate([[current], [DEFAULT], between])).astype(np.float32)
    hits = ((probabilities[:, np.newaxis] >= candidates) == truth[:, np.newaxis]).sum(0)
    best = candidates[hits == hits.max()]
    return best[np.argmin(np.abs(best - DEFAULT))]


def scores(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """What `metrics.evaluate` takes: 0 or above predicts the label; order within it as before.

    float64 [n, classes].
    """
    return probabilities.astype(np.float64) - thresholds.astype(np.float64)
