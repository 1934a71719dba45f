"""The shared-weight form of the final child: search the network that is trained afterwards.

Every architecture is a path through one set of weights (Pham et al., 2018, section 2.2), and each
path has the structure of `final_child`: widths that double at the reductions, bare pooling, skips
that are concatenated. A 1x1 convolution of a concatenation is the sum of one 1x1 convolution for
each part, so each possible input of a layer owns a slice of that kernel, and only the slices of the
chosen inputs are computed.
"""

from collections.abc import Iterable
from functools import partial

import tensorflow.compat.v1 as tf

from AEROBI import image_ops
from AEROBI.architecture import Architecture, flat_length, reduction_layers
from AEROBI.config import ChildConfig
from AEROBI.final_child import operation
from AEROBI.general_child import classify
from AEROBI.image_ops import LayerMode
from AEROBI.routing import add_if, run_if, run_one_of


def shared_final_child(images: tf.Tensor, arc: tf.Tensor, config: ChildConfig, mode: LayerMode,
                       dropout_seed: tf.Tensor | None = None) -> tf.Tensor:
    """Logits of a batch under one architecture.

    Only the chosen operation of a layer, the chosen skips, and the reductions of stored tensors
    that a later layer uses are computed, forward and backward.

    Args:
        images: uint8 or float32 [N, H, W, 3], values 0..255.
        arc: int32 [L(L + 1) / 2], the architecture in its written order.
        config: size of the network.
        mode: data format, training or evaluation, seed of the weights.
        dropout_seed: int32 [2]; needed in training when `config.keep_prob` is below 1.

    Returns:
        float32 [N, classes].
    """
    images.shape.assert_has_rank(4)
    arc.shape.assert_is_compatible_with([flat_length(config.num_layers)])
    filters = config.out_filters
    with tf.variable_scope("child", reuse=tf.AUTO_REUSE):
        with tf.variable_scope("stem_conv"):
            x = image_ops.from_images(images, mode)
            stored = [image_ops.batch_norm(image_ops.conv(x, filters, 3, mode), mode)]
        for layer in range(config.num_layers):
            with tf.variable_scope(f"layer_{layer}"):
                x = _chosen_operation(stored[-1], arc[flat_length(layer)], filters, config, mode)
                if layer:
                    x, stored = _join(x, stored, _skips(arc, layer), mode)
                stored = [*stored, x]
                if layer in reduction_layers(config.num_layers):
                    filters *= 2
                    with tf.variable_scope(f"pool_at_{layer}"):
                        stored = _reduce_used(stored, arc, filters, config, mode)
        return classify(stored[-1], config, mode, dropout_seed)


def _skips(arc: tf.Tensor, layer: int) -> list[tf.Tensor]:
    """Per stored tensor before the input of `layer`, bool []: whether it is joined in."""
    bits = arc[flat_length(layer) + 1:flat_length(layer + 1)]
    return tf.unstack(tf.equal(bits, 1), num=layer)


def _chosen_operation(x: tf.Tensor, op: tf.Tensor, filters: int, config: ChildConfig,
                      mode: LayerMode) -> tf.Tensor:
    """The operation with number `op` (int32 []) on `x`, and no other."""
    def branch(number: int, x: tf.Tensor) -> tf.Tensor:
        with tf.variable_scope(f"branch_{number}"):
            return operation(x, number, filters, config, mode)

    numbers = range(config.num_branches)
    return run_one_of(x, [tf.equal(op, number) for number in numbers[:-1]],
                      [partial(branch, number) for number in numbers])


def _join(x: tf.Tensor, stored: list[tf.Tensor], skips: list[tf.Tensor],
          mode: LayerMode) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The layer's own output `x` with the chosen stored tensors, and those for later layers.

    Each part by its slice of the 1x1 convolution; batch normalisation of the sum. That is one for
    all choices: in training it sees the sum, whatever it is of.
    """
    filters, own = image_ops.channels(x, mode.data_format), len(stored) - 1

    def part(j: int, tensor: tf.Tensor) -> tf.Tensor:
        with tf.variable_scope(f"from_{j}"):
            return image_ops.conv(tf.nn.relu(tensor), filters, 1, mode, parts=1 + own / 2)

    with tf.variable_scope("skip"):
        total, stored = part(own, x), list(stored)
        for j, chosen in enumerate(skips):
            total, stored[j] = add_if(chosen, total, stored[j], partial(part, j))
        return image_ops.batch_norm(total, mode), stored


def _reduce_used(stored: list[tf.Tensor], arc: tf.Tensor, filters: int, config: ChildConfig,
                 mode: LayerMode) -> list[tf.Tensor]:
    """Every stored tensor at half its size; dead where no later layer joins it in."""
    def reduce(j: int, x: tf.Tensor) -> tf.Tensor:
        with tf.variable_scope(f"from_{j}"):
            return image_ops.factorized_reduction(x, filters, mode)

    layer, last = len(stored) - 2, len(stored) - 1
    reduced = [run_if(_used_after(arc, layer, j, config), x, partial(reduce, j))
               for j, x in enumerate(stored[:-1])]
    return [*reduced, reduce(last, stored[last])]


def _used_after(arc: tf.Tensor, layer: int, j: int, config: ChildConfig) -> tf.Tensor:
    """Whether a layer after `layer` joins stored tensor `j` in, bool []."""
    bits = [arc[flat_length(later) + 1 + j] for later in range(layer + 1, config.num_layers)]
    return tf.reduce_any(tf.equal(tf.stack(bits), 1))


def used_variables(names: Iterable[str], arc: tf.Tensor,
                   config: ChildConfig) -> dict[str, tf.Tensor]:
    """Name → bool [], whether `arc` uses the variable, for those that not every one uses."""
    conditions = {}
    for layer in range(config.num_layers):
        op, scope = arc[flat_length(layer)], f"child/layer_{layer}"
        for number in range(config.num_branches):
            conditions[f"{scope}/branch_{number}/"] = tf.equal(op, number)
        for j, chosen in enumerate(_skips(arc, layer)):
            conditions[f"{scope}/skip/from_{j}/"] = chosen
        if layer in reduction_layers(config.num_layers):
            for j in range(layer + 1):
                conditions[f"{scope}/pool_at_{layer}/from_{j}/"] = _used_after(
                    arc, layer, j, config)
    return {name: condition for name in names for prefix, condition in conditions.items()
            if name.startswith(prefix)}


def shared_names(final_name: str, architecture: Architecture) -> tuple[str, ...]:
    """Which shared variables make up one of the final child of `architecture`.

    Args:
        final_name: of a weight or a moving statistic in the graph of `final_child`.
        architecture: of that final child.

    Returns:
        Names in the graph of `shared_final_child`: one, or the slices of a 1x1 convolution after a
        join, to be concatenated along the axis of its input channels (axis 2).
    """
    child, scope, *rest = final_name.split("/")
    if not scope.startswith("layer_"):
        return (final_name,)
    layer = int(scope.removeprefix("layer_"))
    if rest[0].startswith("conv_"):
        return (f"{child}/{scope}/branch_{architecture.ops[layer]}/{'/'.join(rest)}",)
    if rest == ["skip", "w"]:
        chosen = [j for j, bit in enumerate(architecture.skips[layer]) if bit]
        return tuple(f"{child}/{scope}/skip/from_{j}/w" for j in [*chosen, layer])
    return (final_name,)
