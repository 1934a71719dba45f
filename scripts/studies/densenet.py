#!/usr/bin/env python3
"""DenseNet-121 (Huang et al., 2017) without pretrained weights, trained as a final child is.

Patches, their order and augmentation, the learning rate, momentum, weight decay and the sigmoid
loss are those of the final training that the flags after `--` describe; only the network differs,
`tf.keras.applications.DenseNet121` with dropout before its classifier. Writes `result.json` into
--output_dir: the exact match of every epoch on validation and test, and the parameter count.
Started again after the last epoch, it computes nothing.
"""

import argparse
import json
import math
import pathlib
import sys

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from AEROBI.config import RunConfig
from AEROBI.data.input_pipeline import StreamConfig, batches_per_epoch, load_batch
from AEROBI.data.packed_images import PackedSplit, open_packed
from AEROBI.data_utils import read_data_set
from AEROBI.flags import presets, table
from AEROBI.flags.resolve import resolve
from AEROBI.scoring.metrics import exact_matches
from AEROBI.train_ops import learning_rate

EVALUATED = ("val", "test")


def build(config: RunConfig, classes: int) -> tf.keras.Model:
    """uint8 [N, S, S, 3] → logits float32 [N, classes], compiled for training."""
    side = config.data.img_size
    tf.keras.utils.set_random_seed(config.seed)
    features = tf.keras.applications.DenseNet121(
        weights=None, include_top=False, pooling="avg", input_shape=(side, side, 3))
    images = tf.keras.Input((side, side, 3))
    x = features(tf.keras.layers.Rescaling(1 / 127.5, -1)(images))
    x = tf.keras.layers.Dropout(1 - config.child.keep_prob)(x)
    model = tf.keras.Model(images, tf.keras.layers.Dense(classes)(x))
    model.compile(
        tf.keras.optimizers.SGD(
            0.0, config.train.momentum, nesterov=True, weight_decay=2 * config.train.l2_reg),
        tf.keras.losses.BinaryCrossentropy(from_logits=True))
    return model


def train(model: tf.keras.Model, splits: dict[str, PackedSplit],
          config: RunConfig) -> list[dict[str, float]]:
    """Per epoch the exact match on each evaluated split."""
    data = config.data
    stream = StreamConfig("train", data.batch_size, data.img_size, config.seed, "train",
                          data.cutout_size)
    steps = batches_per_epoch(len(splits["train"].labels), data.batch_size)
    evaluated = []
    for epoch in tqdm(range(config.num_epochs), "epochs", disable=None):
        model.optimizer.learning_rate = learning_rate(epoch * steps, steps, config.train)
        for step in range(epoch * steps, (epoch + 1) * steps):
            model.train_on_batch(*load_batch(splits["train"], step, stream))
        evaluated.append({split: exact_match(model, splits[split], config)
                          for split in EVALUATED})
    return evaluated


def exact_match(model: tf.keras.Model, split: PackedSplit, config: RunConfig) -> float:
    """The share of a split's images, centre crops, with all labels right."""
    stream = StreamConfig("evaluation", 64, config.data.img_size, config.seed, "eval")
    right = [exact_matches(model.predict_on_batch(images), labels)
             for images, labels in (load_batch(split, i, stream) for i in range(
                 batches_per_epoch(len(split.labels), stream.batch_size)))]
    return float(np.concatenate(right).mean())


def main() -> int:
    """Trains once; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("flags", nargs="*", help="of a final training, after --")
    options = parser.parse_args()
    written = options.output_dir / "result.json"
    if written.exists():
        return 0
    options.output_dir.mkdir(parents=True, exist_ok=True)
    values = table.parse(presets.words(
        "final", [*options.flags, f"--output_dir={options.output_dir}"]))
    data_set = read_data_set(values["data_path"])
    config = resolve(values, data_set.class_names, "NHWC")
    splits = open_packed(data_set, config.data.img_size, config.data.cache_dir)
    model = build(config, len(data_set.class_names))
    epochs = train(model, splits, config)
    parameters = sum(math.prod(w.shape) for w in model.trainable_weights)
    written.write_text(json.dumps({"parameters": parameters, "epochs": epochs}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
