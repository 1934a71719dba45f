#!/usr/bin/env python3
"""A training step of the search child against the same child that computes all six operations.

Both run in this process, in turn, on the same random batches and architectures; what counts is
the ratio of the medians (SPEC 4: a step costs one path, not six).
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import AEROBI  # noqa: F401  (before TensorFlow: it chooses the CPU kernels)

# isort: split
import numpy as np
import tensorflow.compat.v1 as tf

from AEROBI import general_child, models
from AEROBI.architecture import Architecture, flat_length
from AEROBI.config import ChildConfig, TrainConfig
from AEROBI.image_ops import Style
from AEROBI.session import session_config
from AEROBI.train_ops import child_step

LAYERS, CLASSES, SKIP_PROBABILITY = 7, 6, 0.4
Step = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


def all_operations(x: tf.Tensor, op: tf.Tensor, config: ChildConfig, style: Style) -> tf.Tensor:
    """All operations of a layer on `x`, the chosen one picked by a mask."""
    mask = tf.one_hot(op, config.num_branches)
    return tf.add_n([
        mask[number] * general_child.branch(number, config.out_filters, style, x)
        for number in range(config.num_branches)])


def build(filters: int, size: int, routed: bool) -> Step:
    """A function that makes one training step, on a graph and a session of its own."""
    config = ChildConfig(LAYERS, filters, 6, CLASSES)
    with tf.Graph().as_default():
        arc = tf.placeholder(tf.int32, [flat_length(LAYERS)])
        images = tf.placeholder(tf.uint8, [None, size, size, 3])
        labels = tf.placeholder(tf.uint8, [None, CLASSES])
        operation = general_child.chosen_operation if routed else all_operations
        logits = general_child.search_child(
            images, arc, config, Style("NHWC", True, 0), tf.constant([1, 2]), operation)
        variables = tf.trainable_variables()
        conditions = general_child.used_variables(
            [v.op.name for v in variables], arc, config) if routed else None
        step = child_step(models.cross_entropy(logits, labels), variables, tf.constant(0.01),
                          TrainConfig(l2_reg=5e-4), conditions)
        session = tf.Session(config=session_config())
        session.run(tf.global_variables_initializer())
        run = session.make_callable([step.grad_norm, step.train_op], [images, labels, arc])
    return lambda *batch: run(*batch)


def measure(steps: dict[str, Step], batch: int, size: int, count: int) -> dict[str, list[float]]:
    """Milliseconds of `count` steps of each, in turn."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)
    labels = rng.integers(0, 2, (batch, CLASSES), dtype=np.uint8)
    times = {name: [] for name in steps}
    for i in range(count + 2):
        architecture = Architecture.random(LAYERS, rng, skip_probability=SKIP_PROBABILITY)
        for name, step in steps.items():
            start = time.perf_counter()
            step(images, labels, np.array(architecture.numbers()))
            if i >= 2:  # the first ones set kernels up
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


def main() -> int:
    """Prints a line for each of the two, and their ratio."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--filters", type=int, default=16)
    parser.add_argument("--size", type=int, default=64, help="side of a patch, pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=40)
    options = parser.parse_args()
    steps = {"one operation": build(options.filters, options.size, routed=True),
             "all six": build(options.filters, options.size, routed=False)}
    times = measure(steps, options.batch, options.size, options.steps)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, median in medians.items():
        sys.stdout.write(f"{name:14s} {median:8.1f} ms a step (median of {options.steps}, "
                         f"{min(times[name]):.1f} to {max(times[name]):.1f})\n")
    ratio = medians["one operation"] / medians["all six"]
    sys.stdout.write(f"ratio          {ratio:8.3f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
