"""A checkpoint without a run: what the names and shapes of its variables say.

The published code keeps no configuration beside its checkpoints. The sizes of child and controller
are in the variables; what is not (patch size, tanh constant) is that of the published preset.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from AEROBI.config import (
    ChildConfig,
    ConfigError,
    ControllerConfig,
    DataConfig,
    RunConfig,
    TrainConfig,
)
from AEROBI.data_utils import CLASS_NAMES
from AEROBI.run.checkpoints import CheckpointError, checkpoint_reader, first_line
from AEROBI.tf_setup import resolve_data_format

IMG_SIZE = 224  # pixels
TANH_CONSTANT = 1.5

Shapes = Mapping[str, Sequence[int]]


def read_shapes(prefix: Path) -> Shapes:
    """The shape of each variable, by name.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        return checkpoint_reader(prefix).get_variable_to_shape_map()
    except Exception as error:  # TensorFlow's errors have no common base here
        raise CheckpointError(f"{prefix}: cannot be read ({first_line(error)})") from None


def prefix_of(path: Path) -> Path | None:
    """The prefix of a checkpoint, given as itself or as one of its files; None: there is none."""
    prefix = Path(re.sub(r"\.(index|meta|data-\d+-of-\d+)$", "", str(path)))
    if not prefix.name:  # "", "." or "/"
        return None
    return prefix if prefix.with_name(prefix.name + ".index").is_file() else None


def is_search(shapes: Shapes) -> bool:
    """Whether the child has operations to choose from."""
    return any("/branch_" in name for name in shapes)


def child_of(prefix: Path, shapes: Shapes) -> ChildConfig:
    """The size of a child, without its architecture.

    Raises:
        ConfigError: there is no child in it.
    """
    layers = _numbers(shapes, r"child/layer_(\d+)/")
    branches = _numbers(shapes, r"child/layer_\d+/branch_(\d+)/")
    # The published code built the separable convolutions of its final child as plain ones.
    separable = any(name.endswith("/w_depth") for name in shapes)
    try:
        return ChildConfig(
            num_layers=max(layers) + 1,  # each but the first has variables of its skips
            out_filters=int(shapes["child/stem_conv/w"][-1]),
            num_branches=max(branches, default=5) + 1,
            num_classes=int(shapes["child/fc/w"][-1]),
            data_format=resolve_data_format("auto"), dense_separable=not separable)
    except (KeyError, ValueError, IndexError) as error:
        raise ConfigError(f"{prefix}: holds no child of a search or final training "
                          f"({first_line(error)})") from None


def search_of(prefix: Path, data: DataConfig) -> RunConfig:
    """The search that a checkpoint is of; `data` is where its images are.

    Raises:
        CheckpointError: it cannot be read.
        ConfigError: it is not of a search.
    """
    shapes = read_shapes(prefix)
    child = child_of(prefix, shapes)
    lstm = _numbers(shapes, r"controller/lstm/layer_(\d+)/")
    if not is_search(shapes) or not lstm:
        raise ConfigError(f"{prefix}: holds no search: a child with branches, and a controller")
    controller = ControllerConfig(
        num_layers=child.num_layers, num_branches=child.num_branches,
        lstm_size=int(shapes["controller/lstm/layer_0/w"][-1]) // 4,
        lstm_num_layers=max(lstm) + 1, tanh_constant=TANH_CONSTANT)
    return RunConfig(str(prefix.parent), data, child, TrainConfig(), controller)


def class_names(child: ChildConfig) -> tuple[str, ...]:
    """CODEBRIM's, where their number fits."""
    if child.num_classes == len(CLASS_NAMES):
        return CLASS_NAMES
    return tuple(f"class {k}" for k in range(child.num_classes))


def _numbers(shapes: Shapes, pattern: str) -> set[int]:
    return {int(match[1]) for name in shapes if (match := re.match(pattern, name))}
