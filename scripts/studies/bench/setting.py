"""What is measured on: sizes, architectures and batches, the same for all competitors."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from AEROBI.architecture import SHIPPED, Architecture
from AEROBI.config import ChildConfig, ControllerConfig, DataConfig, RunConfig, TrainConfig

CLASSES = 6
SKIP_PROBABILITY = 0.4  # what the search preset steers to
LEARNING_RATE = 0.001


@dataclass(frozen=True)
class Setting:
    """A child, a patch and a batch; everything else is as in the search preset."""

    filters: int = 16
    size: int = 64  # pixels, side of a patch
    layers: int = 7
    batch: int = 16
    architectures: int = 4  # how many random ones
    seed: int = 0
    keep_prob: float = 0.5
    final: bool = False  # the final child of the shipped architecture

    def __str__(self) -> str:
        """For headings."""
        return (f"{'final' if self.final else 'search'} child, {self.layers} layers, "
                f"{self.filters} filters, {self.size} px, batch {self.batch}")

    def chosen(self) -> list[Architecture]:
        """Random from the seed; for a final child of seven layers the shipped one."""
        if self.final and self.layers == 7:
            return [Architecture.parse(SHIPPED, self.layers)]
        rng = np.random.default_rng(self.seed)
        return [Architecture.random(self.layers, rng, skip_probability=SKIP_PROBABILITY)
                for _ in range(1 if self.final else self.architectures)]

    def config(self) -> RunConfig:
        """That of the search preset (`AEROBI_macro_search.sh`) at these sizes."""
        fixed = tuple(self.chosen()[0].numbers()) if self.final else None
        return RunConfig(
            output_dir="", data=DataConfig("", img_size=self.size, batch_size=self.batch),
            child=ChildConfig(self.layers, self.filters, 6, CLASSES, self.keep_prob,
                              fixed_arc=fixed),
            train=TrainConfig(l2_reg=5e-4, lr_cosine=True, lr_max=0.01, lr_min=1e-5, lr_T_0=10,
                              lr_T_mul=2),
            controller=ControllerConfig(
                num_layers=self.layers, num_branches=6, tanh_constant=1.5, entropy_weight=1e-4,
                skip_target=0.4, skip_weight=0.8, num_aggregate=20, sync_replicas=True,
                train_steps=40, train_every=1))


class Batch(NamedTuple):
    """What one step sees."""

    images: np.ndarray  # uint8 [N, S, S, 3]
    labels: np.ndarray  # uint8 [N, classes]


def random_batch(setting: Setting) -> Batch:
    """Smooth noise: as in photographs, neighbouring pixels are alike."""
    rng = np.random.default_rng(setting.seed)
    side = setting.size
    coarse = rng.uniform(0, 200, (setting.batch, -(-side // 8), -(-side // 8), 3))
    smooth = coarse.repeat(8, 1).repeat(8, 2)[:, :side, :side]
    images = (smooth + rng.uniform(0, 55, smooth.shape)).astype(np.uint8)
    return Batch(images, rng.integers(0, 2, (setting.batch, CLASSES), dtype=np.uint8))
