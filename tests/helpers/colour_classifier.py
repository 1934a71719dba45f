"""A classifier that needs no network: how red, green or blue a patch is on the whole."""

import numpy as np


class ColourClassifier:
    """Of each primary colour, the logistic function of its lead over the other two."""

    class_names = ("Red", "Green", "Blue")
    img_size = 24
    thresholds = np.full(3, 0.5, np.float32)
    aliased_scaling = False

    def __init__(self):
        self.batches = []  # patches in each call

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """uint8 [n, S, S, 3] → float32 [n, 3]."""
        assert images.dtype == np.uint8 and images.shape[1:] == (24, 24, 3)
        self.batches.append(len(images))
        means = images.reshape(len(images), -1, 3).mean(axis=1)
        lead = (3 * means - means.sum(axis=1, keepdims=True)) / 2
        return (1 / (1 + np.exp(8 - lead / 4))).astype(np.float32)
