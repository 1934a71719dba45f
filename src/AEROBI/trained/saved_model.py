"""The graph of an exported model: from image files or pixels to probabilities, and its names."""

import pathlib
import tempfile

import numpy as np
import tensorflow
import tensorflow.compat.v1 as tf

from AEROBI.data.image_files import MOST_PIXELS
from AEROBI.run.checkpoints import first_line, quiet_tensorflow
from AEROBI.run.plain_path import plain_path
from AEROBI.run.restore import Restorer, child_variables
from AEROBI.tf_setup import session_config
from AEROBI.trained.model_source import TrainedChild
from AEROBI.training.graphs import child_logits

# Signatures: image files (PNG, JPEG), pixels of any size, patches of the right size, and the names.
FILES, PIXELS, PATCHES, LABELS = "serving_default", "pixels", "patches", "labels"
IMAGES, PROBABILITIES, CLASS_NAMES, THRESHOLDS = (
    "images", "probabilities", "class_names", "thresholds")
ALIASED_SCALING = "aliased_scaling"  # beside the names only where photographs are scaled so


def write_saved_model(child: TrainedChild, thresholds: np.ndarray, folder: pathlib.Path) -> None:
    """A SavedModel that plain TensorFlow 2 and TF Serving load.

    Args:
        child: the network.
        thresholds: float32 [classes], kept beside the class names.
        folder: must not exist.

    Raises:
        CheckpointError: the weights cannot be read.
        OSError: the disk is full.
    """
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        signatures = build_signatures(child, thresholds)
        Restorer(child_variables()).restore(session, child.prefix)
        try:
            with quiet_tensorflow(), plain_path(folder.parent) as place:
                builder = tf.saved_model.Builder(str(place / folder.name))
                builder.add_meta_graph_and_variables(
                    session, ["serve"], signatures, strip_default_attrs=True)
                builder.save()
        except (tf.errors.OpError, ValueError) as error:  # the Saver's own, of a folder that went
            raise OSError(f"{folder}: cannot be written ({first_line(error)}); free some disk "
                          "space, or name another --output") from error


def build_signatures(child: TrainedChild, thresholds: np.ndarray) -> dict:
    """The graph of an exported model, in the current graph; its signatures by name."""
    side = child.img_size
    files = tf.placeholder(tf.string, [None], "image_files")
    pixels = tf.placeholder(tf.float32, [None, None, None, 3], "image_pixels")
    patches = tf.placeholder(tf.uint8, [None, side, side, 3], "image_patches")
    inputs = {
        FILES: (files, tf.map_fn(tf.autograph.experimental.do_not_convert(  # it is a graph already
            lambda content: _patch_of_file(content, child)), files, fn_output_signature=tf.uint8)),
        PIXELS: (pixels, _patches_of_pixels(pixels, child)), PATCHES: (patches, patches)}
    names, levels = tf.constant(child.class_names), tf.constant(thresholds, tf.float32)
    signatures = {
        name: _signature(given, _probabilities(child, patch), names, levels)
        for name, (given, patch) in inputs.items()}
    labels = {CLASS_NAMES: tf.identity(names), THRESHOLDS: tf.identity(levels)}
    if child.aliased_scaling:
        labels[ALIASED_SCALING] = tf.constant(True)
    signatures[LABELS] = _build_signature({}, labels)
    return signatures


def _probabilities(child: TrainedChild, patches: tf.Tensor) -> tf.Tensor:
    patches.set_shape([None, child.img_size, child.img_size, 3])
    arc = tf.constant(child.config.fixed_arc, tf.int32)
    return tf.sigmoid(child_logits(patches, arc, child.config, 0, None))


def _signature(images: tf.Tensor, probabilities: tf.Tensor, names: tf.Tensor,
               thresholds: tf.Tensor):
    """TF Serving wants one row of every output for each image."""
    count = tf.shape(probabilities)[0]
    return _build_signature({IMAGES: images}, {
        PROBABILITIES: probabilities,
        CLASS_NAMES: tf.tile(names[tf.newaxis], [count, 1]),
        THRESHOLDS: tf.tile(thresholds[tf.newaxis], [count, 1])})


def _build_signature(inputs: dict[str, tf.Tensor], outputs: dict[str, tf.Tensor]):
    with quiet_tensorflow():
        return tf.saved_model.build_signature_def(
            {name: tf.saved_model.build_tensor_info(tensor) for name, tensor in inputs.items()},
            {name: tf.saved_model.build_tensor_info(tensor) for name, tensor in outputs.items()},
            tf.saved_model.PREDICT_METHOD_NAME)


def _patch_of_file(content: tf.Tensor, child: TrainedChild) -> tf.Tensor:
    """The bytes of a PNG or JPEG → uint8 [S, S, 3], as evaluation sees it.

    But for an EXIF orientation, which TensorFlow does not read: the pixels are taken as stored.
    """
    height, width = tf.unstack(tf.cast(_size_of_file(content), tf.int64), 2)
    fits = tf.Assert(height * width <= MOST_PIXELS, [
        f"an image of more than {MOST_PIXELS} pixels; scale it down:", height, width])
    with tf.control_dependencies([fits]):
        image = tf.io.decode_image(tf.identity(content), channels=3, expand_animations=False)
    image.set_shape([None, None, 3])
    patches = _patches_of_pixels(tf.cast(image, tf.float32)[tf.newaxis], child)
    return patches[0]


def _size_of_file(content: tf.Tensor) -> tf.Tensor:
    """int32 [2], height and width by the header alone, so that nothing large is decoded unseen.

    A file that is neither PNG nor JPEG fails as a JPEG.
    """
    def of_png() -> tf.Tensor:
        # After 8 bytes of signature and 8 of the first chunk's head: width and height.
        return tf.io.decode_raw(
            tf.strings.substr(content, 16, 8), tf.int32, little_endian=False)[::-1]

    is_png = tf.equal(tf.strings.substr(content, 0, 8), b"\x89PNG\r\n\x1a\n")
    return tf.cond(is_png, of_png, lambda: tf.image.extract_jpeg_shape(content)[:2])


def _patches_of_pixels(images: tf.Tensor, child: TrainedChild) -> tf.Tensor:
    """float32 [N, H, W, 3], 0..255 → uint8 [N, S, S, 3]: `data.patches`, as a graph."""
    size, side = tf.shape(images)[1:3], child.img_size
    if child.aliased_scaling:
        scaled = size * side // tf.reduce_min(size)
        images = tf.image.resize_bilinear(images, scaled)
    else:
        size = tf.cast(size, tf.float64)
        scaled = tf.cast(tf.maximum(tf.round(size * side / tf.reduce_min(size)), side), tf.int32)
        images = tensorflow.image.resize(images, scaled, "bilinear", antialias=True)
    top, left = tf.unstack((scaled - side) // 2)
    images = images[:, top:top + side, left:left + side]
    return tf.cast(tf.clip_by_value(tf.round(images), 0.0, 255.0), tf.uint8)


def tflite(child: TrainedChild, quantised: bool) -> bytes:
    """A TFLite model: float32 [1, S, S, 3], 0..255 → float32 [1, classes] probabilities.

    Args:
        child: the network.
        quantised: weights of 8 bits (dynamic range), otherwise float32.

    Raises:
        CheckpointError: the weights cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder) / "float"
        with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
            images = tf.placeholder(tf.float32, [1, child.img_size, child.img_size, 3], IMAGES)
            signature = _build_signature(
                {IMAGES: images}, {PROBABILITIES: _probabilities(child, images)})
            Restorer(child_variables()).restore(session, child.prefix)
            with quiet_tensorflow():
                builder = tf.saved_model.Builder(str(place))
                builder.add_meta_graph_and_variables(session, ["serve"], {FILES: signature})
                builder.save()
        converter = tensorflow.lite.TFLiteConverter.from_saved_model(str(place))
        if quantised:
            converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        return converter.convert()
