"""The final child: one fixed architecture, trained from scratch (CODEBRIM, section 4.3)."""

import tensorflow.compat.v1 as tf

from AEROBI import image_ops
from AEROBI.architecture import OPERATIONS, Architecture, reduction_layers
from AEROBI.config import ChildConfig
from AEROBI.general_child import classify
from AEROBI.image_ops import LayerMode


def final_child(images: tf.Tensor, config: ChildConfig, mode: LayerMode,
                dropout_seed: tf.Tensor | None = None) -> tf.Tensor:
    """Logits of a batch under `config.fixed_arc`; the graph holds only that path.

    Args:
        images: uint8 or float32 [N, H, W, 3], values 0..255.
        config: size of the network, and its architecture.
        mode: data format, training or evaluation, seed of the weights.
        dropout_seed: int32 [2]; needed in training when `config.keep_prob` is below 1.

    Returns:
        float32 [N, classes].
    """
    images.shape.assert_has_rank(4)
    architecture = Architecture.from_numbers(config.fixed_arc, config.num_layers)
    filters = config.out_filters
    with tf.variable_scope("child", reuse=tf.AUTO_REUSE):
        with tf.variable_scope("stem_conv"):
            x = image_ops.from_images(images, mode)
            stored = [image_ops.batch_norm(image_ops.conv(x, filters, 3, mode), mode)]
        for layer, (op, bits) in enumerate(zip(architecture.ops, architecture.skips)):
            with tf.variable_scope(f"layer_{layer}"):
                x = operation(stored[-1], op, filters, config, mode)
                if layer:
                    chosen = [tensor for tensor, bit in zip(stored, bits) if bit]
                    x = _join([*chosen, x], filters, mode)
                stored.append(x)
                if layer in reduction_layers(config.num_layers):
                    filters *= 2
                    with tf.variable_scope(f"pool_at_{layer}"):
                        stored = image_ops.reduce_all(stored, filters, mode)
        return classify(stored[-1], config, mode, dropout_seed)


def operation(x: tf.Tensor, op: int, filters: int, config: ChildConfig,
               mode: LayerMode) -> tf.Tensor:
    """Operation number `op`: pooling as it is, or two rounds of ReLU, convolution, BN."""
    _, kind, size = OPERATIONS[op]
    if OPERATIONS[op].is_pooling:
        return image_ops.pool(x, kind, mode.data_format)
    with tf.variable_scope("conv_1x1"):
        x = image_ops.conv(tf.nn.relu(x), filters, 1, mode)
        x = image_ops.batch_norm(x, mode, relu=True)  # the ReLU of the second round
    separable = OPERATIONS[op].is_separable and not config.dense_separable
    convolution = image_ops.separable_conv if separable else image_ops.conv
    with tf.variable_scope(f"conv_{size}x{size}"):
        return image_ops.batch_norm(convolution(x, filters, size, mode), mode)


def _join(tensors: list[tf.Tensor], filters: int, mode: LayerMode) -> tf.Tensor:
    """Chosen stored tensors and the layer's own output, by a 1x1 convolution to `filters`."""
    with tf.variable_scope("skip"):
        x = tf.nn.relu(image_ops.concat_channels(tensors, mode.data_format))
        return image_ops.batch_norm(image_ops.conv(x, filters, 1, mode), mode)
