"""A search space as values: its written form, random draws, what an architecture costs.

Whatever is above this room (the loops, selection, records, flags) knows architectures by these few
verbs alone; no TensorFlow. What the same space is as a graph is in `networks`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from AEROBI import cost
from AEROBI.architecture import OPERATIONS, Architecture, flat_length
from AEROBI.config import ChildConfig, ControllerConfig, DataConfig
from AEROBI.cost import Cost


class Space(Protocol):
    """All architectures that one search may choose."""

    @property
    def decisions(self) -> int:
        """D, how many numbers the written form of an architecture has."""

    @property
    def possible_skips(self) -> int:
        """How many skips an architecture could have, at least 1."""

    @property
    def flags(self) -> str:
        """The flags that say how long the written form is, for messages."""

    def parse(self, text: str) -> Architecture:
        """Reads the written form; raises ArchitectureError."""

    def from_numbers(self, numbers: Sequence[int]) -> Architecture:
        """Reads the D numbers of the written form; raises ArchitectureError."""

    def random(self, rng: np.random.Generator) -> Architecture:
        """Draws uniformly."""

    def cost(self, architecture: Architecture, child: ChildConfig, img_size: int) -> Cost:
        """What the final child of an architecture costs; patches of `img_size` pixels a side."""

    def step_memory(self, child: ChildConfig, data: DataConfig) -> int:
        """Bytes that one training step needs at least."""


@dataclass(frozen=True)
class MacroSpace:
    """Whole networks: an operation and skips for each layer (ENAS, section 2.3)."""

    num_layers: int
    operations: int = len(OPERATIONS)  # that random draws choose from

    @property
    def decisions(self) -> int:
        """See `Space`."""
        return flat_length(self.num_layers)

    @property
    def possible_skips(self) -> int:
        """See `Space`."""
        return max(1, flat_length(self.num_layers - 1))

    @property
    def flags(self) -> str:
        """See `Space`."""
        return f"--child_num_layers={self.num_layers}"

    def parse(self, text: str) -> Architecture:
        """See `Space`."""
        return Architecture.parse(text, self.num_layers)

    def from_numbers(self, numbers: Sequence[int]) -> Architecture:
        """See `Space`."""
        return Architecture.from_numbers(numbers, self.num_layers)

    def random(self, rng: np.random.Generator) -> Architecture:
        """See `Space`."""
        return Architecture.random(self.num_layers, rng, self.operations)

    def cost(self, architecture: Architecture, child: ChildConfig, img_size: int) -> Cost:
        """See `Space`."""
        return cost.final_child_cost(architecture, child.out_filters, img_size,
                                     child.num_classes, child.dense_separable)

    def step_memory(self, child: ChildConfig, data: DataConfig) -> int:
        """See `Space`."""
        return cost.step_memory(child, data)


def space_of(config: ChildConfig | ControllerConfig) -> Space:
    """The space whose architectures a child is built for, or a controller draws."""
    return MacroSpace(config.num_layers, config.operations_drawn)
