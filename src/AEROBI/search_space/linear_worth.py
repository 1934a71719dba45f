"""A linear model of what architectures are worth: a sum over their decisions, with its doubt.

Learnt from architectures that were each trained alone. Bayesian linear regression on the one-hot
decisions (Bishop, 2006, section 3.3); one draw from the posterior makes a reward that explores
(Thompson sampling for linear bandits: Agrawal and Goyal, 2013). numpy only.
"""

from collections.abc import Callable

import numpy as np

PRIOR = 10.0  # variance of what the sum leaves open, over the prior one of a decision's part in it
NOISE = 0.5  # standard deviation of what the sum leaves open; that of all worths is 1
OWN = 0.5  # share of what the sum leaves open that a second training would show again


class LinearWorth:
    """The posterior after some trainings; worths are in their own unit unless said otherwise."""

    def __init__(self, arcs: np.ndarray, worths: np.ndarray):
        """Learns from trainings.

        Args:
            arcs: int [n, D], the decisions of each; one may occur more than once.
            worths: float [n], more is better.
        """
        self._width = int(arcs.max(initial=0)) + 1
        self._mean, self._spread = float(worths.mean()), float(worths.std()) or 1.0
        rows, standard = self._one_hot(arcs), (worths - self._mean) / self._spread
        self._centre = rows.mean(0)
        rows = rows - self._centre
        self._precision = rows.T @ rows + PRIOR * np.eye(rows.shape[1])
        self._weights = np.linalg.solve(self._precision, rows.T @ standard)
        self._left: dict[bytes, list[float]] = {}  # by architecture, what the sum does not tell
        for arc, left in zip(arcs, standard - rows @ self._weights):
            self._left.setdefault(_key(arc), []).append(float(left))

    def estimates(self, arcs: np.ndarray) -> np.ndarray:
        """The worths to be expected of architectures int [m, D]: float64 [m].

        Of one that was trained it is the sum and a share of what the training says besides, which
        is part chance and part what decisions do together.
        """
        left = [self._left.get(_key(arc), [0.0]) for arc in arcs]
        own = [np.mean(each) * OWN * len(each) / (OWN * len(each) + 1 - OWN) for each in left]
        return self._mean + self._spread * (self._standard(arcs, self._weights) + np.array(own))

    def draw(self, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
        """One model of the posterior: int [m, D] → float64 [m].

        What it gives has mean 0 and, of all worths, standard deviation 1.
        """
        noise = rng.normal(size=len(self._weights))
        # The precision is L Lᵀ, so that L⁻ᵀ times the noise has its inverse as covariance.
        root = np.linalg.cholesky(self._precision)
        weights = self._weights + NOISE * np.linalg.solve(root.T, noise)
        return lambda arcs: self._standard(arcs, weights)

    def _standard(self, arcs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return (self._one_hot(arcs) - self._centre) @ weights

    def _one_hot(self, arcs: np.ndarray) -> np.ndarray:
        """Float64 [m, D * width]; a number that no training had is none of them."""
        return (arcs[:, :, np.newaxis] == np.arange(self._width)).reshape(len(arcs), -1).astype(
            np.float64)


def _key(arc: np.ndarray) -> bytes:
    return np.asarray(arc, np.int64).tobytes()
