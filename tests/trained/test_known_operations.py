"""Exported models from strangers: only what computes is opened."""

import pathlib
import shutil

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from PIL import Image

from AEROBI.config import ChildConfig, ConfigError
from AEROBI.data.image_files import MOST_PIXELS
from AEROBI.run.restore import child_variables
from AEROBI.tf_setup import session_config
from AEROBI.trained import saved_model
from AEROBI.trained.classifier import exported_folder, saved_model_classifier
from AEROBI.trained.known_operations import COMPUTING, READING, WRITING, read_meta_graph
from AEROBI.trained.model_source import TrainedChild

ARC = (0, 1, 1, 2, 0, 1, 3, 1, 0, 1, 4, 0, 1, 0, 1, 5, 1, 0, 1, 0, 1)  # every operation once
THRESHOLDS = np.float32([0.5, 0.25])


def child(network="final", data_format="NHWC") -> TrainedChild:
    config = ChildConfig(6, 4, 6, 2, data_format=data_format, fixed_arc=ARC, network=network)
    return TrainedChild(pathlib.Path("none"), config, 16, ("a", "b"), None)


def write(folder: pathlib.Path, poison=lambda signatures: None) -> pathlib.Path:
    """An exported model with its first weights; `poison` may add to graph and signatures."""
    with tf.Graph().as_default(), tf.Session(config=session_config()) as session:
        signatures = saved_model.build_signatures(child(), THRESHOLDS)
        poison(signatures)
        session.run([v.initializer for v in child_variables()])
        builder = tf.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()
    return folder


@pytest.mark.parametrize("network, data_format", [
    ("final", "NHWC"), ("final", "NCHW"), ("search", "NHWC")])
def test_all_that_is_exported_is_known(network, data_format, graph):
    saved_model.build_signatures(child(network, data_format), THRESHOLDS)
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function
                                 for node in function.node_def)]
    assert {node.op for node in nodes} <= COMPUTING


def test_no_known_operation_touches_a_file():
    named = COMPUTING | READING
    assert not [name for name in named if "File" in name or "Save" in name or "Write" in name]
    assert "PyFunc" not in named and not named & WRITING


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write(tmp_path_factory.mktemp("model") / "1")


def test_our_own_is_opened(model):
    assert exported_folder(model.parent) == model
    with saved_model_classifier(model) as classifier:
        assert classifier.class_names == ("a", "b")
        np.testing.assert_array_equal(classifier.thresholds, THRESHOLDS)


def test_a_folder_whose_name_is_no_utf_8(model, tmp_path):
    shutil.copytree(model, folder := tmp_path / "\udcff")
    with saved_model_classifier(folder) as classifier:
        assert classifier.class_names == ("a", "b")


def test_one_that_writes_a_file_is_refused_by_name(tmp_path):
    target = tmp_path / "written"

    def poison(signatures):
        output = signatures["labels"].outputs["thresholds"]
        graph = tf.get_default_graph()
        with tf.control_dependencies([tf.io.write_file(str(target), "harm")]):
            output.name = tf.identity(graph.get_tensor_by_name(output.name)).name

    folder = write(tmp_path / "1", poison)
    with pytest.raises(ConfigError, match=r"\(WriteFile\).*--trust_model"), \
            saved_model_classifier(folder):
        pass
    assert not target.exists()
    with saved_model_classifier(folder, trusted=True) as classifier:
        assert classifier.class_names == ("a", "b")
    assert target.read_text() == "harm"


def test_one_that_writes_out_of_a_function_is_refused(tmp_path):
    def poison(_):
        tf.cond(tf.placeholder_with_default(True, []),
                lambda: tf.group(tf.io.write_file(str(tmp_path / "written"), "harm")), tf.no_op)

    with pytest.raises(ConfigError, match="WriteFile"):
        read_meta_graph(write(tmp_path / "1", poison))


def test_the_savers_own_writing_is_not_to_be_reached(tmp_path):
    def poison(signatures):
        output = signatures["labels"].outputs["thresholds"]
        graph = tf.get_default_graph()
        save = tf.raw_ops.SaveV2(prefix=str(tmp_path / "written"), tensor_names=["x"],
                                 shape_and_slices=[""], tensors=[tf.constant(1.0)])
        with tf.control_dependencies([save]):
            output.name = tf.identity(graph.get_tensor_by_name(output.name)).name

    with pytest.raises(ConfigError, match="SaveV2"):
        read_meta_graph(write(tmp_path / "1", poison))


def test_a_run_is_no_export_whatever_lies_in_it(tiny_final, tmp_path):
    (tmp_path / "1").mkdir()
    (tmp_path / "1/saved_model.pb").write_bytes(b"")
    assert exported_folder(tmp_path) == tmp_path / "1"
    (tmp_path / "config.json").write_bytes((tiny_final / "config.json").read_bytes())
    assert exported_folder(tmp_path) is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_huge_image_is_refused_before_it_is_decoded(kind, model, tmp_path):
    side = int(MOST_PIXELS ** 0.5) + 8
    small = tmp_path / "small"
    Image.new("RGB", (40, 30), (9, 9, 200)).save(small, kind)
    content = small.read_bytes()
    if kind == "PNG":  # the size in the header alone: the pixels need not be there
        content = content[:16] + side.to_bytes(4, "big") * 2 + content[24:]
    else:
        at = content.index(b"\xff\xc0") + 5
        content = content[:at] + side.to_bytes(2, "big") * 2 + content[at + 4:]
    with saved_model_classifier(model) as classifier:
        assert classifier.probabilities_of_files([small.read_bytes()]).shape == (1, 2)
        with pytest.raises(tf.errors.InvalidArgumentError, match="scale it down"):
            classifier.probabilities_of_files([content])
