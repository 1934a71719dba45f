"""Drop path: in training, some images go without an operation's output (Larsson et al., 2017).

The share that is kept falls linearly with the depth of the layer and over the training, as in the
published code of ENAS: 1 - (1 - keep) · depth · progress. What is kept becomes larger by as much.
"""

from collections.abc import Callable

import tensorflow.compat.v1 as tf

from AEROBI.config import ChildConfig
from AEROBI.image_ops import LayerMode
from AEROBI.micro.layout import Layer

# (feature maps, node, side of the node) → feature maps, of some images all zero.
DropPath = Callable[[tf.Tensor, int, int], tf.Tensor]


def paths_of_layer(layer: Layer, config: ChildConfig, mode: LayerMode,
                   seed: tf.Tensor | None) -> DropPath:
    """What drops paths of a layer; nothing outside training, or where all are kept.

    `seed` int32 [2] is that of the step: each path has random numbers of its own.
    """
    if not mode.is_training or config.drop_path_keep_prob == 1:
        return lambda x, node, side: x
    progress = 1.0 if mode.progress is None else mode.progress
    share = tf.convert_to_tensor((1 - config.drop_path_keep_prob) * layer.depth * progress)

    def drop(x: tf.Tensor, node: int, side: int) -> tf.Tensor:
        path = 1 + 2 * (layer.number * config.num_cells + node) + side  # 0: before the classifier
        kept = mode.dropout(tf.ones([tf.shape(x)[0], 1]), share, tf.add(seed, [path, 0]))
        return x * tf.cast(kept, x.dtype)[:, :, tf.newaxis, tf.newaxis]

    return drop
