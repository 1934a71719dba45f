"""Does the controller prefer anything? Its samples against uniformly random architectures.

Both are scored with the same shared weights on the whole validation split, so that the only
difference is who chose the architectures.
"""

import pathlib
from typing import NamedTuple

import numpy as np

from AEROBI.selection.finished_search import open_shared_weights


class Comparison(NamedTuple):
    """Exact match of each architecture on the validation split."""

    controller: np.ndarray  # float64 [n]
    random: np.ndarray  # float64 [n]

    def summary(self) -> str:
        """Means, and the difference with its standard error."""
        difference = self.controller.mean() - self.random.mean()
        error = np.sqrt((self.controller.var(ddof=1) + self.random.var(ddof=1))
                        / len(self.controller))
        return (f"mean exact match of {len(self.controller)} architectures each, same weights: "
                f"controller {self.controller.mean():.4f}, random {self.random.mean():.4f}, "
                f"difference {difference:+.4f} (standard error {error:.4f})")


def compare(run_dir: pathlib.Path, count: int) -> Comparison:
    """Scores `count` architectures of the trained controller and as many random ones.

    They are scored as the controller saw them in training, with the moving BN statistics.

    Raises:
        ConfigError: not a search.
        CheckpointError: it has no checkpoint that can be read.
        DataError: its data set cannot be read.
    """
    with open_shared_weights(run_dir, "moving") as shared:
        return Comparison(*(
            np.array([shared.score(one).exact_match for one in architectures])
            for architectures in (shared.draw(count, "policy check"), shared.draw_random(count))))
