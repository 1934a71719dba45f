"""How a network is stacked from two cells: layers, their widths and sides; no TensorFlow.

`child_num_layers` normal cells in three groups, a reduction cell between groups (ENAS, section 2.4,
figure 4). What does not divide by three comes to the last group.
"""

from typing import NamedTuple

from AEROBI.config import ChildConfig

STEM_FACTOR = 3  # the stem is so many times as wide as the first cells
GROUPS = 3


class Shape(NamedTuple):
    """Of feature maps, whatever the size of the patch."""

    width: int  # channels
    halvings: int  # of the patch's side, before them

    def side(self, img_size: int) -> int:
        """Pixels a side; odd sides are halved upwards."""
        for _ in range(self.halvings):
            img_size = -(-img_size // 2)
        return img_size


class Layer(NamedTuple):
    """One cell in its place."""

    number: int  # from 0, reduction cells counted
    is_reduction: bool
    inputs: tuple[Shape, Shape]  # of the output before last, and of the last one
    shape: Shape  # of the cell's own tensors
    depth: float  # share of the layers that end with it, in (0, 1]
    has_auxiliary: bool  # the auxiliary head looks at its output


def layers(config: ChildConfig) -> tuple[Layer, ...]:
    """All layers, first to last: N normal and two reduction cells."""
    group, count = config.num_layers // GROUPS, config.num_layers + GROUPS - 1
    reductions = (group, 2 * group + 1)
    stem = Shape(STEM_FACTOR * config.out_filters, 0)
    inputs, shape, stacked = (stem, stem), Shape(config.out_filters, 0), []
    for number in range(count):
        if number in reductions:
            shape = Shape(2 * shape.width, shape.halvings + 1)
        # After two thirds: behind the first normal cell of the last group.
        stacked.append(Layer(number, number in reductions, inputs, shape, (number + 1) / count,
                             number == reductions[-1] + 1))
        inputs = (inputs[1], shape)
    return tuple(stacked)
