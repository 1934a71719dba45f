"""The floor: the kernels of a path alone, one strictly after another, and no network.

Every convolution, depthwise convolution, pooling and BN of the chosen path of the search child
runs once forward and, for a training step, once backward (with respect to input and weights; the
stem has no gradient of its input) on tensors of the right shape that are there already. A session
runs them, since some of oneDNN's kernels (the gradient of max pooling) are not to be had eagerly;
control dependencies put them into a row, nothing passes from one layer to the next.

Not in it: ReLU, the additions of skips, gradients that add up where a tensor is used twice, moving
averages, classifier, loss, update. In it, though not arithmetic: a few microseconds of the
executor for each kernel. Inputs of one shape share one tensor, which is kinder to the caches than
a network is; a network may run two kernels at once, which small ones gain from.
"""

from collections.abc import Sequence

import AEROBI  # noqa: F401  (before TensorFlow: it chooses the CPU kernels)

# isort: split
import tensorflow.compat.v1 as tf

from AEROBI.architecture import Architecture
from AEROBI.image_ops import LayerMode, depthwise_conv
from AEROBI.tf_setup import session_config
from bench.path import CHANNELS, Kernel, kernels
from bench.setting import Setting

EPSILON = 1e-4
POOLING = {"average_pooling": tf.nn.avg_pool2d, "max_pooling": tf.nn.max_pool2d}


class Floor:
    """The kernels of one path, in a session of their own."""

    def __init__(self, setting: Setting, architecture: Architecture, backward: bool):
        """Of a training step, or with `backward` False of its forward pass."""
        self._batch = setting.batch
        self._tensors: dict[tuple[int, ...], tf.Variable] = {}
        path = [kernel for kernel in kernels(architecture, setting.filters, setting.size)
                if kernel.kind != "add"]
        with tf.Graph().as_default():
            last = self._in_a_row(path, backward)
            self._session = tf.Session(config=session_config())
            self._session.run(tf.global_variables_initializer())
            self._run = self._session.make_callable(last)

    def run(self) -> None:
        """All kernels once."""
        self._run()

    def close(self) -> None:
        """Frees the session's memory."""
        self._session.close()

    def _in_a_row(self, path: Sequence[Kernel], backward: bool) -> tf.Operation:
        """The kernels as operations of which each waits for the one before; returns the last."""
        last, done = tf.no_op(), []
        for kernel in path:
            inputs = self._inputs(kernel)
            with tf.control_dependencies([last]):
                y = _forward(kernel, inputs, backward)
            done.append((kernel, y, inputs))
            last = y.op
        for kernel, y, inputs in reversed(done) if backward else ():
            for x in inputs:
                if kernel.inputs == CHANNELS and x is inputs[0]:
                    continue
                dy = self._tensor(*y.shape)
                with tf.control_dependencies([last]):
                    last = tf.gradients(y, x, dy)[0].op
        return last

    def _inputs(self, kernel: Kernel) -> list[tf.Tensor]:
        """What a kernel has gradients of: x, and the weights of a convolution."""
        x = self._tensor(self._batch, kernel.side, kernel.side, kernel.inputs)
        if kernel.kind not in ("conv", "depthwise"):
            return [x]
        outputs = 1 if kernel.kind == "depthwise" else kernel.outputs
        return [x, self._tensor(kernel.size, kernel.size, kernel.inputs, outputs)]

    def _tensor(self, *shape: int) -> tf.Tensor:
        shape = tuple(map(int, shape))
        if shape not in self._tensors:
            self._tensors[shape] = tf.Variable(
                tf.random.stateless_normal(shape, [1, 2]), use_resource=True, trainable=False)
        return self._tensors[shape].read_value()


def _forward(kernel: Kernel, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
    x, *weights = inputs
    if kernel.kind == "conv":
        return tf.nn.conv2d(x, weights[0], kernel.stride, "SAME")
    if kernel.kind == "depthwise":
        return depthwise_conv(x, weights[0], LayerMode("NHWC", training, seed=0))
    if kernel.kind == "bn":
        ones = tf.ones([kernel.inputs])
        statistics = () if training else (ones, ones)
        return tf.nn.fused_batch_norm(
            x, ones, ones, *statistics, epsilon=EPSILON, is_training=training)[0]
    return POOLING[kernel.kind](x, kernel.size, 1, "SAME")
