"""Operations on feature maps; the only file that knows NHWC from NCHW, and narrow types.

Feature maps are [N, H, W, C] or [N, C, H, W], as `data_format` says, of the type that `precision`
names. Convolutions and pooling are SAME, without biases. Functions that own weights create them in
the current variable scope, under the names of the published implementation.

*Mixed precision* (Micikevicius et al., 2018, sections 3.1 to 3.3). Weights, BN's parameters and
statistics, and all from the pooled features on are float32 always: kernels are cast where they are
read. float16 loses gradients below 6e-8, so in training they are LOSS_SCALE times as large between
the pooled features and the weights, and nowhere else: neither the loss nor an update knows of it.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from AEROBI.common_ops import constant, he_normal, uncompiled, variable
from AEROBI.config import ConfigError
from AEROBI.tf_setup import session_config

BN_RATE = 0.1  # how far the moving statistics go towards those of a batch
LOSS_SCALE = 1024.0  # a power of two: scaling and unscaling round nothing

# (moving statistic, that of a batch) → what is subtracted from the former, float32 [C] all.
MovingChange = Callable[[tf.Variable, tf.Tensor], tf.Tensor]
# (features float32 [N, C], share to drop, seed int32 [2]) → features.
Dropout = Callable[[tf.Tensor, float | tf.Tensor, tf.Tensor], tf.Tensor]


def towards_batch(rate: float | tf.Tensor) -> MovingChange:
    """Moving statistics go that share of the way to those of the batch."""
    return lambda moving, batch: rate * (moving - batch)


def dropout(x: tf.Tensor, share: float | tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Features float32 [N, C] with a share of them zero, the others larger by as much."""
    with uncompiled():
        return tf.nn.experimental.stateless_dropout(x, share, seed=seed)


class LayerMode(NamedTuple):
    """What every operation of one network shares."""

    data_format: str  # "NHWC" or "NCHW"
    is_training: bool  # batch statistics in BN, and moving averages that move
    seed: int  # of the initial weights
    precision: str = "float32"  # of feature maps: "float32", "bfloat16" or "float16"
    # Of BN's statistics, in training; None: they stay.
    moving_change: MovingChange | None = towards_batch(BN_RATE)
    dropout: Dropout = dropout
    progress: tf.Tensor | None = None  # float32 [], share of the training that is over; None: all

    @property
    def scales_gradients(self) -> bool:
        """Whether gradients are LOSS_SCALE times as large on the way through feature maps."""
        return self.is_training and self.precision == "float16"


def check_kernels(data_format: str, precision: str) -> None:
    """One tiny training step, forward and backward.

    Raises:
        ConfigError: this machine has no kernels for it; names the flags.
    """
    mode = LayerMode(data_format, True, 0, precision=precision)
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        x = from_images(tf.zeros([1, 4, 4, 3], tf.uint8), mode)
        x = batch_norm(separable_conv(x, 4, 3, mode), mode)
        x = pool(pool(x, "max_pooling", data_format), "average_pooling", data_format)
        step = tf.gradients(global_average_pool(x, mode), tf.trainable_variables())
        session.run(tf.global_variables_initializer())
        try:
            session.run(step)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            raise ConfigError(
                f"--precision={precision}: TensorFlow cannot compute with it on this machine with "
                f"--data_format={data_format}; give --data_format=NHWC, or another "
                "precision") from None


@tf.custom_gradient
def _scale_gradient(x: tf.Tensor):
    return tf.identity(x), lambda gradient: LOSS_SCALE * gradient


@tf.custom_gradient
def _unscale_gradient(x: tf.Tensor):
    return tf.identity(x), lambda gradient: gradient / LOSS_SCALE


def from_images(images: tf.Tensor, mode: LayerMode) -> tf.Tensor:
    """uint8 or float32 [N, H, W, 3] images, 0..255 → feature maps; whole numbers stay exact."""
    x = tf.cast(images, mode.precision)
    return x if mode.data_format == "NHWC" else tf.transpose(x, [0, 3, 1, 2])


def channels(x: tf.Tensor, data_format: str) -> int:
    """The number of channels of feature maps."""
    return x.shape[data_format.index("C")]


def concat_channels(tensors: list[tf.Tensor], data_format: str) -> tf.Tensor:
    """Feature maps side by side along the channels."""
    return tf.concat(tensors, data_format.index("C"))


def global_average_pool(x: tf.Tensor, mode: LayerMode) -> tf.Tensor:
    """Feature maps → float32 [N, C]."""
    axes = [mode.data_format.index("H"), mode.data_format.index("W")]
    pooled = tf.reduce_mean(tf.cast(x, tf.float32), axes)
    return _scale_gradient(pooled) if mode.scales_gradients else pooled


def _as_kernel(w: tf.Tensor | tf.Variable, mode: LayerMode) -> tf.Tensor:
    """The float32 weights `w` in the type of the feature maps that they meet."""
    return w if mode.precision == "float32" else tf.cast(_parameter(w, mode), mode.precision)


def _parameter(w: tf.Tensor | tf.Variable, mode: LayerMode) -> tf.Tensor:
    """The float32 weights `w`; their gradient is that of the loss, not of the scaled one."""
    return _unscale_gradient(tf.convert_to_tensor(w)) if mode.scales_gradients else w


def conv(x: tf.Tensor, filters: int, size: int, mode: LayerMode,
         parts: float = 1.0) -> tf.Tensor:
    """A `size` x `size` convolution; weights `w` [size, size, C, filters].

    `parts`: of how many such convolutions the result is the sum, as the first weights see it.

    Raises:
        ValueError: `x` has not the four dimensions of feature maps.
    """
    x.shape.assert_has_rank(4)
    shape = [size, size, channels(x, mode.data_format), filters]
    w = variable("w", shape, he_normal(mode.seed, parts))
    return tf.nn.conv2d(x, _as_kernel(w, mode), 1, "SAME", data_format=mode.data_format)


def separable_conv(x: tf.Tensor, filters: int, size: int, mode: LayerMode,
                   transposed: bool = False) -> tf.Tensor:
    """A depthwise convolution, then a 1x1 convolution, nothing between.

    Weights `w_depth` [size, size, C, 1] and `w_point` [1, 1, C, filters]; `transposed` stores
    the latter as [filters, C], the form of the published search child.
    """
    inputs = channels(x, mode.data_format)
    w_depth = variable("w_depth", [size, size, inputs, 1], depthwise_he_normal(mode.seed))
    if transposed:
        w_point = variable("w_point", [filters, inputs], he_normal(mode.seed))
        w_point = tf.transpose(w_point)[tf.newaxis, tf.newaxis]
    else:
        w_point = variable("w_point", [1, 1, inputs, filters], he_normal(mode.seed))
    x = depthwise_conv(x, _as_kernel(w_depth, mode), mode)
    return tf.nn.conv2d(x, _as_kernel(w_point, mode), 1, "SAME", data_format=mode.data_format)


def depthwise_conv(x: tf.Tensor, w: tf.Tensor | tf.Variable, mode: LayerMode) -> tf.Tensor:
    """Every channel by a filter of its own; `w` [size, size, C, 1], of the type of `x`."""
    gradients = {}
    if mode.is_training and mode.data_format == "NHWC" and w.shape[1] == 5:
        gradients["DepthwiseConv2dNative"] = "GradientInHalves"
    with tf.get_default_graph().gradient_override_map(gradients):
        return tf.nn.depthwise_conv2d(x, w, [1, 1, 1, 1], "SAME", data_format=mode.data_format)


@tf.RegisterGradient("GradientInHalves")
def _gradient_in_halves(op: tf.Operation, dy: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The gradient of an NHWC depthwise convolution (SAME, stride 1): of 5x5 weights by columns.

    oneDNN has no fast kernel for that gradient if the weights are more than 3 columns wide: 5x5
    takes 24 ms where 5x3 takes 1.7 (16 x 64 x 64 px, 64 channels, two cores). So the columns are
    computed as 0, 1, 2 and 2, 3, 4. Seen from x padded by a pixel, y lies one to the left of the
    middle of the former and one to the right of that of the latter.
    """
    x, w = op.inputs
    dx = tf.nn.depthwise_conv2d_native_backprop_input(tf.shape(x), w, dy, [1, 1, 1, 1], "SAME")
    rows, _, inputs, outputs = w.shape
    padded = tf.pad(x, [[0, 0], [0, 0], [1, 1], [0, 0]])
    left, right = (
        tf.nn.depthwise_conv2d_native_backprop_filter(
            padded, [rows, 3, inputs, outputs], tf.pad(dy, [[0, 0], [0, 0], side, [0, 0]]),
            [1, 1, 1, 1], "SAME")
        for side in ([0, 2], [2, 0]))
    return dx, tf.concat([left, right[:, 1:]], 1)


def depthwise_he_normal(seed: int):
    """He normal for [size, size, C, 1] weights, in which every channel is a filter of its own."""
    initial = he_normal(seed)
    return lambda shape, name: tf.transpose(
        initial([shape[0], shape[1], shape[3], shape[2]], name), [0, 1, 3, 2])


def pool(x: tf.Tensor, kind: str, data_format: str) -> tf.Tensor:
    """3x3 pooling with stride 1, of the `kind` that names the operation.

    The average counts real pixels only.
    """
    function = {"average_pooling": tf.nn.avg_pool2d, "max_pooling": tf.nn.max_pool2d}[kind]
    return function(x, 3, 1, "SAME", data_format=data_format)


def batch_norm(x: tf.Tensor, mode: LayerMode, epsilon: float = 1e-4,
               relu: bool = False) -> tf.Tensor:
    """Batch normalisation (Ioffe and Szegedy, 2015), then ReLU if `relu`; variables in scope `bn`.

    In training the moving averages move whenever the result is computed, and only then. The ReLU
    is here because one kernel does both only if nothing stands between the two.
    """
    x.shape.assert_has_rank(4)
    size = [channels(x, mode.data_format)]
    with tf.variable_scope("bn"):
        offset = variable("offset", size, constant(0.0))
        scale = variable("scale", size, constant(1.0))
        moving_mean = variable("moving_mean", size, constant(0.0), trainable=False)
        moving_variance = variable("moving_variance", size, constant(1.0), trainable=False)
        scale, offset = _parameter(scale, mode), _parameter(offset, mode)
    statistics = () if mode.is_training else (moving_mean, moving_variance)
    y, mean, batch_variance = tf.nn.fused_batch_norm(
        x, scale, offset, *statistics, epsilon=epsilon, data_format=mode.data_format,
        is_training=mode.is_training)
    if relu:
        y = tf.nn.relu(y)
    if not mode.is_training or mode.moving_change is None:
        return y
    moved = [moving.assign_sub(mode.moving_change(moving, batch), read_value=False)
             for moving, batch in ((moving_mean, mean), (moving_variance, batch_variance))]
    with tf.control_dependencies(moved):
        return tf.identity(y)


def factorized_reduction(x: tf.Tensor, filters: int, mode: LayerMode) -> tf.Tensor:
    """Half the height and width, two shifted 1x1 convolutions side by side, BN.

    Path 1 sees the pixels (0, 0), (0, 2), ..., path 2 the pixels (1, 1), (1, 3), ...: the upper
    left and the lower right pixel of each 2x2 block. So both together are one 2x2 convolution
    with stride 2 whose kernel is zero elsewhere; SAME pads odd sizes below and on the right,
    as path 2 wants it. This is several times faster than strided slices and their gradients.
    """
    if filters % 2:
        raise ValueError(f"a factorized reduction needs an even number of filters, not {filters}")
    kernels = []
    for path in ("path1_conv", "path2_conv"):
        with tf.variable_scope(path):
            shape = [1, 1, channels(x, mode.data_format), filters // 2]
            kernels.append(variable("w", shape, he_normal(mode.seed)))
    upper_left, lower_right = kernels
    # [1, 1, C, filters] each, padded with zeros to 2x2 around their own corner and channels.
    kernel = (tf.pad(upper_left, [[0, 1], [0, 1], [0, 0], [0, filters // 2]])
              + tf.pad(lower_right, [[1, 0], [1, 0], [0, 0], [filters // 2, 0]]))
    kernel = _as_kernel(kernel, mode)
    x = tf.nn.conv2d(x, kernel, 2, "SAME", data_format=mode.data_format)
    return batch_norm(x, mode)


def reduce_all(stored: list[tf.Tensor], filters: int, mode: LayerMode) -> list[tf.Tensor]:
    """Every stored tensor at half its size, by weights of its own."""
    reduced = []
    for j, x in enumerate(stored):
        with tf.variable_scope(f"from_{j}"):
            reduced.append(factorized_reduction(x, filters, mode))
    return reduced
