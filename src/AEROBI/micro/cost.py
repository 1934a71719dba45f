"""What a network of cells costs: parameters, multiply-adds, memory, without building it."""

from AEROBI.config import ChildConfig, DataConfig
from AEROBI.cost import COPIES, FLOAT_BYTES, Cost
from AEROBI.micro.cells import CELL_INPUTS, CELL_OPERATIONS, Cell, MicroArchitecture
from AEROBI.micro.layout import STEM_FACTOR, Layer, Shape, layers

APPLIED = 2  # times a separable convolution is applied


def cells_cost(architecture: MicroArchitecture, child: ChildConfig, img_size: int) -> Cost:
    """Counts layer by layer; BN, ReLU, pooling and additions are not multiply-adds here.

    Without the auxiliary head, which is there in training only.

    Args:
        architecture: of the network.
        child: its layers, filters of the stem's third, and classes.
        img_size: side of a patch in pixels.
    """
    stem = STEM_FACTOR * child.out_filters
    parameters = 3 * 3 * 3 * stem + 2 * stem
    multiply_adds = 3 * 3 * 3 * stem * img_size ** 2
    for layer in layers(child):
        cell = architecture.reduction if layer.is_reduction else architecture.normal
        weights, norms = _of_cell(cell, layer)
        parameters += weights + norms
        multiply_adds += weights * layer.shape.side(img_size) ** 2
    classifier = layer.shape.width * child.num_classes
    return Cost(parameters + classifier, multiply_adds + classifier)


def _of_cell(cell: Cell, layer: Layer) -> tuple[int, int]:
    """Weights of convolutions, and parameters of BN, of one layer."""
    width = layer.shape.width
    weights, convolutions = len(cell.unused) * width * width, 1
    for shape in layer.inputs:
        if shape != layer.shape:
            weights, convolutions = weights + shape.width * width, convolutions + 1
    for op in (op for pair in cell.node_ops for op in pair):
        if CELL_OPERATIONS[op].is_separable:
            weights += _separable(op, width)
            convolutions += APPLIED
    return weights, 2 * width * convolutions


def _separable(op: int, width: int) -> int:
    return APPLIED * (CELL_OPERATIONS[op].size ** 2 * width + width * width)


def step_memory(child: ChildConfig, data: DataConfig) -> int:
    """Bytes that one training step needs at least: weights, and feature maps kept for backward.

    Of shared weights all operations count, and of feature maps the cheapest cells, which add
    identities: what does not fit into memory by this figure cannot be trained.
    """
    stem = Shape(STEM_FACTOR * child.out_filters, 0)
    weights, values = 0, 2 * stem.width * data.img_size ** 2
    for layer in layers(child):
        width, side = layer.shape.width, layer.shape.side(data.img_size)
        calibrated = [shape for shape in layer.inputs if shape != layer.shape]
        weights += sum(shape.width * width for shape in calibrated)
        if child.is_search:
            separable = sum(_separable(op, width) for op in range(child.num_branches)
                            if CELL_OPERATIONS[op].is_separable)
            weights += 2 * child.num_cells * separable
            weights += (CELL_INPUTS + child.num_cells) * width * width
        # A convolution and its BN each, and the sums of the nodes.
        values += (2 * (len(calibrated) + 1) + child.num_cells) * width * side * side
    bytes_each = FLOAT_BYTES if child.precision == "float32" else FLOAT_BYTES // 2
    return COPIES * FLOAT_BYTES * weights + bytes_each * data.batch_size * values
