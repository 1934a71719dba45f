"""Whether a SavedModel computes, and does nothing else: its operations by name.

A graph is a program. TensorFlow has operations that read and write files or start network
connections, and a SavedModel from a stranger may hold them. Those here are what
`saved_model.build_signatures` is made of: they compute, and keep variables in memory.
"""

from collections.abc import Iterable
from pathlib import Path

import tensorflow.compat.v1 as tf
from google.protobuf.message import DecodeError
from tensorflow.core.framework.graph_pb2 import GraphDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from AEROBI.config import ConfigError
from AEROBI.run.regular_files import check_regular, read_bytes

COMPUTING = frozenset({
    "Add", "AddN", "AddV2", "Assert", "AssignVariableOp", "AvgPool", "BiasAdd", "Cast",
    "ConcatV2", "Const", "Conv2D", "DecodeImage", "DecodeRaw", "DepthwiseConv2dNative", "Div",
    "Equal", "ExpandDims", "ExtractJpegShape", "FloorDiv", "FusedBatchNormV3", "GatherV2",
    "Greater", "GreaterEqual", "Identity", "IdentityN", "If", "Less", "LessEqual", "LogicalAnd",
    "MatMul", "MaxPool", "Maximum", "Mean", "Min", "Minimum", "Mul", "NoOp", "Pack", "Pad",
    "Placeholder", "PlaceholderWithDefault", "Range", "ReadVariableOp", "RealDiv", "Relu",
    "Reshape", "ResizeBilinear", "Round", "Rsqrt", "ScaleAndTranslate", "Select", "SelectV2",
    "Shape", "Sigmoid", "Slice", "Split", "Squeeze", "StatelessIf",
    "StatelessRandomGetKeyCounter", "StatelessTruncatedNormalV2", "StatelessWhile",
    "StaticRegexFullMatch", "StridedSlice", "StringJoin", "Sub", "Substr", "Sum",
    "TensorListFromTensor", "TensorListGetItem", "TensorListReserve", "TensorListSetItem",
    "TensorListStack", "Tile", "Transpose", "Unpack", "VarHandleOp", "VarIsInitializedOp",
    "While"})
# What the Saver adds: reading weights is asked for, and writing them never.
READING = frozenset({"RestoreV2"})
WRITING = frozenset({"MergeV2Checkpoints", "SaveV2", "ShardedFilename"})


def read_meta_graph(folder: Path, trusted: bool = False) -> MetaGraphDef:
    """The graph and signatures of a SavedModel, read from its file and not yet loaded.

    Args:
        folder: with saved_model.pb.
        trusted: whoever made it may have put any operation into it.

    Raises:
        ConfigError: it has operations that an exported network does not need, or is damaged.
    """
    path = folder / "saved_model.pb"
    try:
        (graph,) = SavedModel.FromString(read_bytes(path)).meta_graphs
    except (DecodeError, OSError, ValueError) as error:
        raise ConfigError(f"{folder}: is no model that `aerobi export` wrote ({error})") from None
    if not trusted and (unknown := _unknown_operations(graph)):
        raise ConfigError(
            f"{path}: holds operations that no exported network needs ({', '.join(unknown)}), and "
            "such a model can do more than compute, write files for instance; if you trust whoever "
            "made it, give --trust_model")
    return graph


def _unknown_operations(graph: MetaGraphDef) -> list[str]:
    """Names in order; of those that write, only where something that is run leads to them."""
    nodes = list(graph.graph_def.node)
    inside = [node for function in graph.graph_def.library.function for node in function.node_def]
    found = {node.op for node in nodes} - COMPUTING - READING - WRITING
    found |= {node.op for node in inside} - COMPUTING
    run = {node.op for node in _ancestors(graph.graph_def, _fetched(graph))}
    return sorted(found | (run & WRITING))


def _fetched(graph: MetaGraphDef) -> Iterable[str]:
    """What is run of it: outputs of the signatures, and the Saver's operation that restores."""
    yield graph.saver_def.restore_op_name
    for signature in graph.signature_def.values():
        for tensor in (*signature.outputs.values(), *signature.inputs.values()):
            yield tensor.name


def _ancestors(graph: GraphDef, names: Iterable[str]) -> list[NodeDef]:
    """The nodes of these names and all that lead to them, by data or control."""
    by_name = {node.name: node for node in graph.node}
    waiting, found = list(names), {}
    while waiting:
        name = waiting.pop().removeprefix("^").partition(":")[0]
        if name in by_name and name not in found:
            found[name] = by_name[name]
            waiting += by_name[name].input
    return list(found.values())


def load(graph: MetaGraphDef, folder: Path, session: tf.Session) -> None:
    """The graph as it was checked, with its weights, into the session and its graph.

    TensorFlow's own loader would read the file again, and run what the file names as its start.

    Raises:
        OpError, OSError, ValueError: the graph or the weights cannot be used.
    """
    for file in folder.glob("variables/*"):
        check_regular(file)
    tf.train.import_meta_graph(graph).restore(session, str(folder / "variables" / "variables"))
