"""Which network a checkpoint holds: its size, its architecture, its class names.

A run of this package says so in its config.json. A checkpoint of the published implementation
says it by the names and shapes of its variables, but for the operations without weights: so its
architecture must be given.
"""

import dataclasses
import logging
from pathlib import Path
from typing import NamedTuple

from AEROBI.config import ChildConfig, ConfigError
from AEROBI.flags import from_published_checkpoint
from AEROBI.flags.fixed_arc import read_fixed_arc
from AEROBI.flags.from_run_dir import is_run, stored_run
from AEROBI.run.checkpoints import finished_checkpoints, read_position
from AEROBI.run.restore import newest_checkpoint
from AEROBI.run.run_dir_checks import BEST_CHECKPOINT_DIR, CHECKPOINTS
from AEROBI.search_space.spaces import space_of
from AEROBI.tf_setup import resolve_data_format
from AEROBI.trained.overrides import Overrides

log = logging.getLogger(__name__)


class TrainedChild(NamedTuple):
    """A network on the disk: its structure, its classes, the checkpoint of its weights."""

    prefix: Path  # of its checkpoint
    config: ChildConfig  # with its architecture; of a search, the one to use it with
    img_size: int  # pixels
    class_names: tuple[str, ...]
    run_dir: Path | None  # None: a checkpoint without a run
    aliased_scaling: bool = False  # of photographs, see `patches.scale`
    of_search: bool = False  # the checkpoint holds weights that all architectures share


def find_trained_child(model: Path, given: Overrides) -> TrainedChild:
    """The network that a run directory, or the prefix of a checkpoint, holds.

    Raises:
        ConfigError: it cannot be told which network it is.
        CheckpointError: there is no checkpoint, or it cannot be read.
    """
    prefix, run_dir = _place(model, given.last)
    if run_dir is None:
        return _of_published_code(prefix, given)
    run = stored_run(run_dir, {"data_format": resolve_data_format("auto")})
    child, of_search = run.config.child, run.config.child.is_search
    if of_search:
        child = _with_architecture(child, given.fixed_arc or str(run_dir), child.built_as)
    elif given.fixed_arc is not None:
        raise ConfigError(f"--child_fixed_arc: {run_dir} was trained for one architecture; leave "
                          "the flag out")
    return TrainedChild(prefix, child, given.img_size or run.config.data.img_size,
                        run.class_names, run_dir,
                        _either(given.aliased_scaling, run.config.data.aliased_scaling),
                        of_search)


def _with_architecture(child: ChildConfig, text: str, network: str) -> ChildConfig:
    arc = read_fixed_arc(text, space_of(child)).numbers()
    return dataclasses.replace(child, fixed_arc=tuple(arc), network=network)


def _place(model: Path, last: bool) -> tuple[Path, Path | None]:
    """Prefix of the checkpoint, and the run directory it lies in."""
    if model.is_dir():
        if is_run(model):
            return _weights_of_run(model, last), model
        raise ConfigError(f"{model}: is neither a run directory nor an exported model; give the "
                          "--output_dir of a run, or the prefix of a checkpoint")
    prefix = from_published_checkpoint.prefix_of(model)
    if prefix is None:
        raise ConfigError(f"{model}: no such run directory, exported model or checkpoint")
    run_dir = prefix.absolute().parents[1] if len(prefix.absolute().parents) > 1 else None
    return prefix, run_dir if run_dir is not None and is_run(run_dir) else None


def _weights_of_run(run_dir: Path, last: bool) -> Path:
    """The weights best on validation, once a final training was evaluated; else the last."""
    best = run_dir / BEST_CHECKPOINT_DIR
    if not last and finished_checkpoints(best):
        return newest_checkpoint(best)
    prefix = newest_checkpoint(run_dir / CHECKPOINTS)
    if not last and read_position(prefix).get("best") is not None:
        raise ConfigError(f"{best}: holds no checkpoint, though the run kept its best epoch "
                          "there; put the folder back, or take the last weights with --last")
    return prefix


def _of_published_code(prefix: Path, given: Overrides) -> TrainedChild:
    shapes = from_published_checkpoint.read_shapes(prefix)
    child = from_published_checkpoint.child_of(prefix, shapes)
    if given.fixed_arc is None:
        raise ConfigError(f"{prefix}: the checkpoint does not say which architecture it is; give "
                          "--child_fixed_arc")
    network = "search" if from_published_checkpoint.is_search(shapes) else "final"
    aliased = _either(given.aliased_scaling, from_published_checkpoint.is_published(shapes))
    if aliased and given.aliased_scaling is None:
        log.warning("%s: of the published code; images are scaled as it was trained, without "
                    "antialiasing (--scaling antialiased: as this package does)", prefix)
    if child.late_binding:
        log.warning("%s: %s, so this is what every layer computes here", prefix,
                    from_published_checkpoint.late_binding_text(child))
    return TrainedChild(
        prefix, _with_architecture(child, given.fixed_arc, network),
        given.img_size or from_published_checkpoint.IMG_SIZE,
        from_published_checkpoint.class_names(child), None, aliased)


def _either(given: bool | None, otherwise: bool) -> bool:
    return otherwise if given is None else given
