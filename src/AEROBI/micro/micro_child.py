"""The child of the micro search space: a stack of cells (ENAS, section 2.4).

Two forms compute the same. The fixed one is a plain graph of one architecture, to be trained from
scratch; the shared one holds every operation of every node, and runs what an architecture chooses.
Of a node each side has weights of its own for each operation, whichever input it is given (the
published code keeps a copy for each input). A 1x1 convolution of a concatenation is a sum of 1x1
convolutions: each tensor of a cell owns a slice of the kernel, and those of unused tensors run.

A reduction cell halves both its inputs first, by factorized reductions, and is a cell of stride 1
from there on, as the published search does it.
"""

from collections.abc import Callable, Iterable
from functools import partial

import tensorflow.compat.v1 as tf

from AEROBI import image_ops
from AEROBI.common_ops import he_normal, variable
from AEROBI.config import ChildConfig
from AEROBI.general_child import classify
from AEROBI.image_ops import LayerMode
from AEROBI.micro.cells import (
    CELL_INPUTS,
    CELL_OPERATIONS,
    PER_NODE,
    Cell,
    MicroArchitecture,
    flat_length,
)
from AEROBI.micro.drop_path import DropPath, paths_of_layer
from AEROBI.micro.layout import Layer, Shape, layers
from AEROBI.models import ChildLogits
from AEROBI.routing import add_if, pick_one, run_one_of

SIDES = ("x", "y")  # of a node
HEAD_FILTERS = (128, 768)  # of the auxiliary head, as published
Apply = Callable[[tf.Tensor], tf.Tensor]
# (layer, its two calibrated inputs, what drops its paths) → the cell's output.
BuildCell = Callable[[Layer, list[tf.Tensor], DropPath], tf.Tensor]


def shared_micro_child(images: tf.Tensor, arc: tf.Tensor, config: ChildConfig, mode: LayerMode,
                       dropout_seed: tf.Tensor | None = None) -> ChildLogits:
    """Logits of a batch under one architecture; only what it chooses is computed.

    Args:
        images: uint8 or float32 [N, H, W, 3], values 0..255.
        arc: int32 [8 nodes], the architecture in its written order.
        config: size of the network.
        mode: data format, training or evaluation, seed of the weights.
        dropout_seed: int32 [2]; needed in training when something is dropped.
    """
    arc.shape.assert_is_compatible_with([flat_length(config.num_cells)])

    def build(layer: Layer, inputs: list[tf.Tensor], drop: DropPath) -> tf.Tensor:
        return _shared_cell(_numbers_of(layer, arc), inputs, drop, config, mode)

    return _network(images, build, config, mode, dropout_seed)


def fixed_micro_child(images: tf.Tensor, config: ChildConfig, mode: LayerMode,
                      dropout_seed: tf.Tensor | None = None) -> ChildLogits:
    """The same under `config.fixed_arc`, and nothing but that path in the graph."""
    architecture = MicroArchitecture.from_numbers(config.fixed_arc, config.num_cells)

    def build(layer: Layer, inputs: list[tf.Tensor], drop: DropPath) -> tf.Tensor:
        cell = architecture.reduction if layer.is_reduction else architecture.normal
        return fixed_cell(cell, inputs, drop, mode)

    return _network(images, build, config, mode, dropout_seed)


def _network(images: tf.Tensor, build: BuildCell, config: ChildConfig, mode: LayerMode,
             dropout_seed: tf.Tensor | None) -> ChildLogits:
    """The frame around the cells: stem, calibration of their inputs, heads."""
    images.shape.assert_has_rank(4)
    auxiliary = None
    with tf.variable_scope("child", reuse=tf.AUTO_REUSE):
        with tf.variable_scope("stem_conv"):
            x, stacked = image_ops.from_images(images, mode), layers(config)
            x = image_ops.conv(x, stacked[0].inputs[0].width, 3, mode)
            before_last = last = image_ops.batch_norm(x, mode)
        for layer in stacked:
            drop = paths_of_layer(layer, config, mode, dropout_seed)
            with tf.variable_scope(f"layer_{layer.number}"):
                inputs = [_calibrated(x, number, layer, mode)
                          for number, x in enumerate((before_last, last))]
                before_last, last = last, build(layer, inputs, drop)
            if layer.has_auxiliary and config.use_aux_heads and mode.is_training:
                with tf.variable_scope("auxiliary_head"):
                    auxiliary = _auxiliary_head(last, config, mode)
        logits = classify(tf.nn.relu(last), config, mode, dropout_seed)
    return ChildLogits(logits, auxiliary)


def _calibrated(x: tf.Tensor, number: int, layer: Layer, mode: LayerMode) -> tf.Tensor:
    """Input `number` of a cell, brought to the cell's own side and width where it differs."""
    given: Shape = layer.inputs[number]
    if given == layer.shape:
        return x
    with tf.variable_scope(f"calibrate_{number}"):
        x = tf.nn.relu(x)
        if given.halvings < layer.shape.halvings:
            return image_ops.factorized_reduction(x, layer.shape.width, mode)
        return image_ops.batch_norm(image_ops.conv(x, layer.shape.width, 1, mode), mode)


def fixed_cell(cell: Cell, inputs: list[tf.Tensor], drop: DropPath,
               mode: LayerMode) -> tf.Tensor:
    """The output of one cell from its two calibrated inputs, in a plain graph."""
    tensors = list(inputs)
    for node, (chosen, ops) in enumerate(zip(cell.inputs, cell.node_ops)):
        with tf.variable_scope(f"node_{node}"):
            x, y = (_on_side(side, partial(_operation, op, partial(drop, node=node, side=side),
                                           mode), tensors[number])
                    for side, (number, op) in enumerate(zip(chosen, ops)))
        tensors.append(x + y)
    width = image_ops.channels(inputs[0], mode.data_format)
    with tf.variable_scope("out"):
        x = image_ops.concat_channels([tensors[number] for number in cell.unused],
                                      mode.data_format)
        return image_ops.batch_norm(image_ops.conv(tf.nn.relu(x), width, 1, mode), mode)


def _shared_cell(numbers: tf.Tensor, inputs: list[tf.Tensor], drop: DropPath,
                 config: ChildConfig, mode: LayerMode) -> tf.Tensor:
    """The same from the numbers of the cell, int32 [4 nodes]."""
    tensors = list(inputs)
    for node in range(config.num_cells):
        sides = []
        with tf.variable_scope(f"node_{node}"):
            for side in range(len(SIDES)):
                number, op = tf.unstack(numbers[PER_NODE * node + 2 * side:][:2], num=2)
                x, tensors = pick_one(tensors, number)
                kept = partial(drop, node=node, side=side)
                sides.append(_on_side(side, partial(_chosen_operation, op, kept, config, mode), x))
        tensors.append(sides[0] + sides[1])
    return _join_unused(tensors, numbers, mode)


def _join_unused(tensors: list[tf.Tensor], numbers: tf.Tensor, mode: LayerMode) -> tf.Tensor:
    """The sum of each unused tensor by its slice of the 1x1 convolution, then BN.

    The last node's is always one. As first weights see it the sum has as many terms as of random
    cells: Σ (k / (B + 1))² over tensors k of B nodes, about (B + 2.5) / 3.
    """
    width, last = image_ops.channels(tensors[0], mode.data_format), len(tensors) - 1

    def part(number: int, x: tf.Tensor) -> tf.Tensor:
        with tf.variable_scope(f"from_{number}"):
            return image_ops.conv(tf.nn.relu(x), width, 1, mode, parts=(last + 1.5) / 3)

    with tf.variable_scope("out"):
        total = part(last, tensors[last])
        for number, x in enumerate(tensors[:-1]):
            total, _ = add_if(_is_unused(numbers, number), total, x, partial(part, number))
        return image_ops.batch_norm(total, mode)


def _is_unused(numbers: tf.Tensor, number: int) -> tf.Tensor:
    """Whether no node of the cell has that input, bool []."""
    return tf.reduce_all(tf.not_equal(numbers[::2], number))


def _numbers_of(layer: Layer, arc: tf.Tensor) -> tf.Tensor:
    """Of the layer's cell, int32 [4 nodes]."""
    return tf.split(arc, 2)[int(layer.is_reduction)]


def _on_side(side: int, apply: Apply, x: tf.Tensor) -> tf.Tensor:
    with tf.variable_scope(SIDES[side]):
        return apply(x)


def _chosen_operation(op: tf.Tensor, drop: Apply, config: ChildConfig, mode: LayerMode,
                      x: tf.Tensor) -> tf.Tensor:
    """The operation with number `op` (int32 []) on `x`, and no other."""
    def branch(number: int, x: tf.Tensor) -> tf.Tensor:
        with tf.variable_scope(f"branch_{number}"):
            return _operation(number, drop, mode, x)

    numbers = range(config.num_branches)
    return run_one_of(x, [tf.equal(op, number) for number in numbers[:-1]],
                      [partial(branch, number) for number in numbers])


def _operation(number: int, drop: Apply, mode: LayerMode, x: tf.Tensor) -> tf.Tensor:
    """Operation `number`; all but the identity lie on a path that `drop` may drop."""
    operation = CELL_OPERATIONS[number]
    if operation.kind == "identity":
        return tf.identity(x)
    if operation.is_pooling:
        return drop(image_ops.pool(x, operation.kind, mode.data_format))
    width, x = image_ops.channels(x, mode.data_format), tf.nn.relu(x)
    for stack, relu in enumerate((True, False)):  # the ReLU of the second is the first's BN's
        with tf.variable_scope(f"stack_{stack}"):
            x = image_ops.separable_conv(x, width, operation.size, mode)
            x = image_ops.batch_norm(x, mode, relu=relu)
    return drop(x)


def _auxiliary_head(x: tf.Tensor, config: ChildConfig, mode: LayerMode) -> tf.Tensor:
    """Logits float32 [N, classes] from the middle of the network (Szegedy et al., 2015).

    As published, but that the pooling adapts to the size of the patch: it leaves 2 x 2 pixels, as
    5x5 windows with stride 3 do of the published 8 x 8.
    """
    narrow, wide = HEAD_FILTERS
    x = _pool_to_two(tf.nn.relu(x), mode)
    with tf.variable_scope("proj"):
        x = image_ops.batch_norm(image_ops.conv(x, narrow, 1, mode), mode, relu=True)
    with tf.variable_scope("full"):
        x = image_ops.batch_norm(image_ops.conv(x, wide, 2, mode), mode, relu=True)
    x = image_ops.global_average_pool(x, mode)
    with tf.variable_scope("fc"):
        w = variable("w", [wide, config.num_classes], he_normal(mode.seed))
    return tf.matmul(x, w)


def _pool_to_two(x: tf.Tensor, mode: LayerMode) -> tf.Tensor:
    """Averages over four windows: 2 x 2 pixels."""
    side = x.shape[mode.data_format.index("H")]
    stride = -(-3 * side // 8)
    return tf.nn.avg_pool2d(x, side - stride, stride, "VALID", data_format=mode.data_format)


def used_variables(names: Iterable[str], arc: tf.Tensor,
                   config: ChildConfig) -> dict[str, tf.Tensor]:
    """Name → bool [], whether `arc` uses the variable, for those that not every one uses."""
    conditions = {}
    for layer in layers(config):
        numbers, scope = _numbers_of(layer, arc), f"child/layer_{layer.number}"
        ops = tf.unstack(numbers[1::2], num=2 * config.num_cells)
        for position, op in enumerate(ops):
            for number in range(config.num_branches):
                node, side = divmod(position, 2)
                conditions[f"{scope}/node_{node}/{SIDES[side]}/branch_{number}"] = tf.equal(
                    op, number)
        for number in range(CELL_INPUTS + config.num_cells - 1):
            conditions[f"{scope}/out/from_{number}"] = _is_unused(numbers, number)
    used = {}
    for name in names:
        scopes = name.split("/")
        for length in (4, 5):
            if (prefix := "/".join(scopes[:length])) in conditions:
                used[name] = conditions[prefix]
    return used


def shared_names(final_name: str, architecture: MicroArchitecture,
                 config: ChildConfig) -> tuple[str, ...]:
    """Which variables of the shared form make up one of the fixed form of `architecture`.

    Returns:
        One name, or the slices of a 1x1 convolution, to be concatenated along axis 2.
    """
    child, scope, *rest = final_name.split("/")
    if not scope.startswith("layer_"):
        return (final_name,)
    layer = layers(config)[int(scope.removeprefix("layer_"))]
    cell = architecture.reduction if layer.is_reduction else architecture.normal
    if rest[0].startswith("node_"):
        node, side = int(rest[0].removeprefix("node_")), SIDES.index(rest[1])
        branch = f"branch_{cell.node_ops[node][side]}"
        return ("/".join([child, scope, *rest[:2], branch, *rest[2:]]),)
    if rest == ["out", "w"]:
        return tuple(f"{child}/{scope}/out/from_{number}/w" for number in cell.unused)
    return (final_name,)
