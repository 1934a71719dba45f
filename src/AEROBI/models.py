"""From logits to loss, predictions and exact matches (CODEBRIM, section 4)."""

from typing import NamedTuple

import tensorflow.compat.v1 as tf

AUXILIARY_WEIGHT = 0.4  # of the auxiliary head's loss, as in the published code of ENAS


class ChildLogits(NamedTuple):
    """What a child says of a batch."""

    main: tf.Tensor  # float32 [N, classes]
    auxiliary: tf.Tensor | None = None  # likewise, of a head that is there in training alone


def objective(loss: tf.Tensor, logits: ChildLogits, labels: tf.Tensor) -> tf.Tensor:
    """What training minimises, float32 []: the loss, and a share of the auxiliary head's."""
    if logits.auxiliary is None:
        return loss
    return loss + AUXILIARY_WEIGHT * cross_entropy(logits.auxiliary, labels)


def cross_entropy(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Sigmoid cross entropy, mean over batch and labels: float32 [].

    Args:
        logits: float32 [N, classes].
        labels: uint8 [N, classes], 0 or 1.
    """
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(
        labels=tf.cast(labels, tf.float32), logits=logits))


def exact_matches(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """How many images have all labels right, where sigmoid(logit) >= 0.5 predicts 1: int32 []."""
    right = tf.equal(logits >= 0.0, labels > 0)
    return tf.reduce_sum(tf.cast(tf.reduce_all(right, 1), tf.int32))
