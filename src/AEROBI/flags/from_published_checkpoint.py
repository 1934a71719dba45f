"""A checkpoint without a run: what the names and shapes of its variables say.

The published code keeps no configuration beside its checkpoints. The sizes of child and controller
are in the variables; what is not (patch size, tanh constant) is that of the published preset. That
its search could not tell operations apart is in the moving statistics.
"""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from AEROBI.architecture import OPERATIONS
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


def is_published(shapes: Shapes) -> bool:
    """Whether the published code wrote it: its moving averages have variables of their own."""
    return any(name.endswith("/moving_mean/biased") for name in shapes)


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
            data_format=resolve_data_format("auto"), dense_separable=not separable,
            late_binding=bool(branches) and _only_last_branch_moved(prefix, max(branches)))
    except (KeyError, ValueError, IndexError) as error:
        raise ConfigError(f"{prefix}: holds no child of a search or final training "
                          f"({first_line(error)})") from None


def _only_last_branch_moved(prefix: Path, last: int) -> bool:
    """Whether the last operation, and no other, ever ran in training (quirk `late_binding`).

    Whatever ran has moved its means; where nothing ran they are still exactly 0.
    """
    try:
        reader = checkpoint_reader(prefix)
        moved = {branch for branch, names in _moving_means(read_shapes(prefix)).items()
                 if any(reader.get_tensor(name).any() for name in names)}
    except Exception as error:  # as in `read_shapes`
        raise CheckpointError(f"{prefix}: cannot be read ({first_line(error)})") from None
    return last > 0 and moved == {last}


def _moving_means(shapes: Shapes) -> dict[int, list[str]]:
    """Number of a branch → the names of its moving means in all layers."""
    names: dict[int, list[str]] = {}
    for name in shapes:
        if match := re.fullmatch(r"child/layer_\d+/branch_(\d+)/.*/moving_mean", name):
            names.setdefault(int(match[1]), []).append(name)
    return names


def late_binding_text(child: ChildConfig) -> str:
    """What to say of such a search."""
    number = child.num_branches - 1
    return (f"this search only ever trained and ran operation {number} "
            f"({OPERATIONS[number].name}), whatever operation was sampled")


def search_of(prefix: Path, data: DataConfig) -> RunConfig:
    """The search that a checkpoint is of; `data` is where its images are.

    Raises:
        CheckpointError: it cannot be read.
        ConfigError: it is not of a search, or of one that could not tell operations apart.
    """
    shapes = read_shapes(prefix)
    child = child_of(prefix, shapes)
    if child.late_binding:
        raise ConfigError(
            f"{prefix}: a ranking is impossible: {late_binding_text(child)}; its architectures "
            "differ in their skips alone. Search anew, or evaluate one with --child_fixed_arc")
    lstm = _numbers(shapes, r"controller/lstm/layer_(\d+)/")
    if not is_search(shapes) or not lstm:
        raise ConfigError(f"{prefix}: holds no search: a child with branches, and a controller")
    controller = ControllerConfig(
        num_layers=child.num_layers, num_branches=child.num_branches,
        lstm_size=int(shapes["controller/lstm/layer_0/w"][-1]) // 4,
        lstm_num_layers=max(lstm) + 1, tanh_constant=TANH_CONSTANT)
    data = dataclasses.replace(data, aliased_scaling=is_published(shapes))
    return RunConfig(str(prefix.parent), data, child, TrainConfig(), controller)


def class_names(child: ChildConfig) -> tuple[str, ...]:
    """The class names of CODEBRIM, where the checkpoint has as many classes."""
    if child.num_classes == len(CLASS_NAMES):
        return CLASS_NAMES
    return tuple(f"class {k}" for k in range(child.num_classes))


def _numbers(shapes: Shapes, pattern: str) -> set[int]:
    return {int(match[1]) for name in shapes if (match := re.match(pattern, name))}
