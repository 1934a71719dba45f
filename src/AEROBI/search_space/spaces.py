"""A search space as values: its written form, random draws, what an architecture costs.

Whatever is above this room (the loops, selection, records, flags) knows architectures by these few
verbs alone; no TensorFlow. What the same space is as a graph is in `networks`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from AEROBI import cost
from AEROBI.architecture import OPERATIONS, Architecture, flat_length
from AEROBI.config import MACRO, MICRO, ChildConfig, ControllerConfig, DataConfig, RunConfig
from AEROBI.cost import Cost
from AEROBI.micro import cells
from AEROBI.micro import cost as micro_cost
from AEROBI.micro.cells import CELL_NAMES, CELL_OPERATIONS, PER_NODE, MicroArchitecture

AnyArchitecture = Architecture | MicroArchitecture


class Space(Protocol):
    """All architectures that one search may choose."""

    search_for: str  # one of `config.SEARCH_SPACES`
    num_cells: int | None  # nodes of a cell; None: of whole networks

    @property
    def decisions(self) -> int:
        """D, how many numbers the written form of an architecture has."""

    @property
    def possible_skips(self) -> int:
        """How many skips an architecture could have, at least 1."""

    @property
    def flags(self) -> str:
        """The flags that say how long the written form is, for messages."""

    @property
    def size(self) -> str:
        """The same in words."""

    @property
    def rows(self) -> tuple[tuple[str, int], ...]:
        """What the lines of a printed architecture are of, and how many numbers each has."""

    @property
    def row_noun(self) -> str:
        """What each of these lines is of."""

    def parse(self, text: str) -> AnyArchitecture:
        """Reads the written form; raises ArchitectureError."""

    def from_numbers(self, numbers: Sequence[int]) -> AnyArchitecture:
        """Reads the D numbers of the written form; raises ArchitectureError."""

    def random(self, rng: np.random.Generator) -> AnyArchitecture:
        """Draws uniformly."""

    def cost(self, architecture: AnyArchitecture, child: ChildConfig, img_size: int) -> Cost:
        """What the final child of an architecture costs; patches of `img_size` pixels a side."""

    def step_memory(self, child: ChildConfig, data: DataConfig) -> int:
        """Bytes that one training step needs at least."""


@dataclass(frozen=True)
class MacroSpace:
    """Whole networks: an operation and skips for each layer (ENAS, section 2.3)."""

    num_layers: int
    operations: int = len(OPERATIONS)  # that random draws choose from
    search_for = MACRO
    row_noun = "layer"
    num_cells = None

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

    @property
    def size(self) -> str:
        """See `Space`."""
        return f"{self.num_layers} layers"

    @property
    def rows(self) -> tuple[tuple[str, int], ...]:
        """See `Space`."""
        return tuple((f"layer {layer}", layer + 1) for layer in range(self.num_layers))

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


@dataclass(frozen=True)
class MicroSpace:
    """Two cells, of which a network is stacked (ENAS, section 2.4)."""

    num_cells: int  # nodes of a cell, as the flag has it
    operations: int = len(CELL_OPERATIONS)  # that random draws choose from
    search_for = MICRO
    row_noun = "cell"
    possible_skips = 1

    @property
    def decisions(self) -> int:
        """See `Space`."""
        return cells.flat_length(self.num_cells)

    @property
    def flags(self) -> str:
        """See `Space`."""
        return f"--search_for={MICRO} --child_num_cells={self.num_cells}"

    @property
    def size(self) -> str:
        """See `Space`."""
        return f"cells of {self.num_cells} nodes"

    @property
    def rows(self) -> tuple[tuple[str, int], ...]:
        """See `Space`."""
        return tuple((f"the {name} cell", PER_NODE * self.num_cells) for name in CELL_NAMES)

    def parse(self, text: str) -> MicroArchitecture:
        """See `Space`."""
        return MicroArchitecture.parse(text, self.num_cells)

    def from_numbers(self, numbers: Sequence[int]) -> MicroArchitecture:
        """See `Space`."""
        return MicroArchitecture.from_numbers(numbers, self.num_cells)

    def random(self, rng: np.random.Generator) -> MicroArchitecture:
        """See `Space`."""
        return MicroArchitecture.random(self.num_cells, rng, self.operations)

    def cost(self, architecture: MicroArchitecture, child: ChildConfig, img_size: int) -> Cost:
        """See `Space`."""
        return micro_cost.cells_cost(architecture, child, img_size)

    def step_memory(self, child: ChildConfig, data: DataConfig) -> int:
        """See `Space`."""
        return micro_cost.step_memory(child, data)


def space_of(config: ChildConfig | ControllerConfig) -> Space:
    """The space whose architectures a child is built for, or a controller draws."""
    if config.search_for == MICRO:
        return MicroSpace(config.num_cells, config.operations_drawn)
    return MacroSpace(config.num_layers, config.operations_drawn)


def cost_of_run(config: RunConfig) -> Cost:
    """Of the network that a final training trains: the final child of its one architecture."""
    space = space_of(config.child)
    return space.cost(space.from_numbers(config.child.fixed_arc), config.child,
                      config.data.img_size)


def space_of_values(values: Mapping[str, Any]) -> Space:
    """The space that the values of flags, by name, describe; raises KeyError, ValueError."""
    if values.get("search_for") == MICRO:
        return MicroSpace(int(values["child_num_cells"]))
    return MacroSpace(int(values["child_num_layers"]))


def is_of_layers(count: int) -> bool:
    """Whether some number of layers has a written form of `count` numbers, N(N + 1) / 2."""
    return flat_length(math.isqrt(2 * count)) == count


def parse_any(text: str, search_for: str | None = None) -> AnyArchitecture:
    """Reads a written form of any size.

    Args:
        text: the written form.
        search_for: of the search that it is from. Without it the count of numbers tells: 8 a
            node are two cells, but for 120, 136, ... that are N(N + 1) / 2 as well.

    Raises:
        ArchitectureError: it is none.
    """
    count, of_cells = len(text.split()), search_for == MICRO
    if search_for is None:
        of_cells = count % cells.flat_length(1) == 0 and not is_of_layers(count)
    return MicroArchitecture.parse(text) if of_cells else Architecture.parse(text)
