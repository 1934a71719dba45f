"""The search child: all operations, weights shared by all architectures (ENAS, section 2.3)."""

from collections.abc import Callable, Iterable
from functools import partial

import tensorflow.compat.v1 as tf

from AEROBI import image_ops
from AEROBI.architecture import OPERATIONS, Architecture, Operation, flat_length, reduction_layers
from AEROBI.common_ops import he_normal, variable
from AEROBI.config import ChildConfig
from AEROBI.image_ops import LayerMode
from AEROBI.routing import add_if, run_one_of

OperationBuilder = Callable[[tf.Tensor, tf.Tensor, ChildConfig, LayerMode], tf.Tensor]
# From a layer's number and the stored tensors to the sum of its operation and its skips, and the
# stored tensors that later layers use (see `add_if`).
Layer = Callable[[int, list[tf.Tensor]], tuple[tf.Tensor, list[tf.Tensor]]]


def search_child(images: tf.Tensor, arc: tf.Tensor, config: ChildConfig, mode: LayerMode,
                 dropout_seed: tf.Tensor | None = None,
                 operation: OperationBuilder | None = None) -> tf.Tensor:
    """Logits of a batch under one architecture.

    Only the chosen operation of a layer and the chosen skips are computed.

    Args:
        images: uint8 or float32 [N, H, W, 3], values 0..255.
        arc: int32 [L(L + 1) / 2], the architecture in its written order.
        config: size of the network.
        mode: data format, training or evaluation, seed of the weights.
        dropout_seed: int32 [2]; needed in training when `config.keep_prob` is below 1.
        operation: how a layer computes its operation; `chosen_operation` unless given.

    Returns:
        float32 [N, classes].
    """
    operation = operation or chosen_operation
    images.shape.assert_has_rank(4)
    arc.shape.assert_is_compatible_with([flat_length(config.num_layers)])

    def compute(layer: int, stored: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        op, *skips = tf.unstack(arc[flat_length(layer):flat_length(layer + 1)], num=layer + 1)
        x = operation(stored[-1], op, config, mode)
        stored = list(stored)
        for j, bit in enumerate(skips):
            x, stored[j] = add_if(tf.equal(bit, 1), x, stored[j])
        return x, stored

    return _network(images, compute, config, mode, dropout_seed)


def fixed_search_child(images: tf.Tensor, config: ChildConfig, mode: LayerMode,
                       dropout_seed: tf.Tensor | None = None) -> tf.Tensor:
    """The same network under `config.fixed_arc`, and nothing but that path in the graph.

    Its variables are those of the search child that the path uses, under the same names.
    Arguments and result as of `search_child`.
    """
    architecture = Architecture.from_numbers(config.fixed_arc, config.num_layers)

    def compute(layer: int, stored: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        op = config.num_branches - 1 if config.late_binding else architecture.ops[layer]
        x = branch(op, config.out_filters, mode, stored[-1])
        chosen = [tensor for tensor, bit in zip(stored, architecture.skips[layer]) if bit]
        return tf.add_n([x, *chosen]), stored

    return _network(images, compute, config, mode, dropout_seed)


def _network(images: tf.Tensor, compute: Layer, config: ChildConfig, mode: LayerMode,
             dropout_seed: tf.Tensor | None) -> tf.Tensor:
    """The frame around the layers: stem, BN after skips, reductions, classifier."""
    with tf.variable_scope("child", reuse=tf.AUTO_REUSE):
        with tf.variable_scope("stem_conv"):
            x = image_ops.from_images(images, mode)
            x = image_ops.conv(x, config.out_filters, 3, mode)
            stored = [image_ops.batch_norm(x, mode)]
        for layer in range(config.num_layers):
            with tf.variable_scope(f"layer_{layer}"):
                x, stored = compute(layer, stored)
                if layer:
                    with tf.variable_scope("skip"):
                        x = image_ops.batch_norm(x, mode)
                stored = [*stored, x]
                if layer in reduction_layers(config.num_layers):
                    with tf.variable_scope(f"pool_at_{layer}"):
                        stored = image_ops.reduce_all(stored, config.out_filters, mode)
        return classify(stored[-1], config, mode, dropout_seed)


def classify(x: tf.Tensor, config: ChildConfig, mode: LayerMode,
             dropout_seed: tf.Tensor | None) -> tf.Tensor:
    """Last feature maps → logits float32 [N, classes]."""
    x = image_ops.global_average_pool(x, mode)
    if mode.is_training and config.keep_prob < 1:
        x = mode.dropout(x, 1 - config.keep_prob, dropout_seed)
    with tf.variable_scope("fc"):
        w = variable("w", [x.shape[1], config.num_classes], he_normal(mode.seed))
    return tf.matmul(x, w)


def chosen_operation(x: tf.Tensor, op: tf.Tensor, config: ChildConfig,
                     mode: LayerMode) -> tf.Tensor:
    """The operation with number `op` (int32 []) on `x`, and no other."""
    branches = [partial(branch, number, config.out_filters, mode)
                for number in range(config.num_branches)]
    if config.late_binding:
        # The fault of the reference: every number runs the last branch. The weights of the
        # others exist all the same, for checkpoints and for the L2 term.
        for unused in branches[:-1]:
            unused(x)
        return branches[-1](x)
    return run_one_of(x, [tf.equal(op, k) for k in range(len(branches) - 1)], branches)


def branch(number: int, filters: int, mode: LayerMode, x: tf.Tensor) -> tf.Tensor:
    """Operation `number` of a layer, with weights of its own."""
    with tf.variable_scope(f"branch_{number}"):
        operation = OPERATIONS[number]
        build = _pool_branch if operation.is_pooling else _conv_branch
        return build(operation, x, filters, mode)


def _conv_branch(operation: Operation, x: tf.Tensor, filters: int,
                 mode: LayerMode) -> tf.Tensor:
    with tf.variable_scope("inp_conv_1"):
        x = image_ops.batch_norm(image_ops.conv(x, filters, 1, mode), mode, relu=True)
    with tf.variable_scope(f"out_conv_{operation.size}"):
        if operation.is_separable:
            x = image_ops.separable_conv(x, filters, operation.size, mode, transposed=True)
        else:
            x = image_ops.conv(x, filters, operation.size, mode)
        return image_ops.batch_norm(x, mode, epsilon=1e-3, relu=True)


def _pool_branch(operation: Operation, x: tf.Tensor, filters: int,
                 mode: LayerMode) -> tf.Tensor:
    with tf.variable_scope("conv_1"):
        x = image_ops.batch_norm(image_ops.conv(x, filters, 1, mode), mode, relu=True)
    return image_ops.pool(x, operation.kind, mode.data_format)


def used_variables(names: Iterable[str], arc: tf.Tensor,
                   config: ChildConfig) -> dict[str, tf.Tensor]:
    """Name → bool [], whether `arc` uses the variable, for those that not every one uses."""
    if config.late_binding:
        return {}
    chosen = {}
    for layer in range(config.num_layers):
        op = arc[flat_length(layer)]
        for number in range(config.num_branches):
            chosen[f"layer_{layer}/branch_{number}"] = tf.equal(op, number)
    return {name: chosen[branch] for name in names
            if (branch := "/".join(name.split("/")[1:3])) in chosen}
