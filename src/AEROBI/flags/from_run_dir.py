"""What a run directory says of itself: the configuration it was made with."""

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from AEROBI.config import ConfigError, RunConfig
from AEROBI.data_utils import CLASS_NAMES
from AEROBI.flags import table
from AEROBI.flags.resolve import resolve
from AEROBI.run.run_dir_checks import CONFIG


class StoredRun(NamedTuple):
    """A run as it was configured; `config.child.num_classes` is that of its data."""

    config: RunConfig
    class_names: tuple[str, ...]


def is_run(run_dir: pathlib.Path) -> bool:
    """Whether a folder has the configuration of a run."""
    return (run_dir / CONFIG).is_file()


def stored_run(run_dir: pathlib.Path) -> StoredRun:
    """The run that wrote into a folder.

    Raises:
        ConfigError: none has.
    """
    try:
        values = json.loads((run_dir / CONFIG).read_text("utf-8"))["configuration"]
        names = tuple(map(str, values.get("class_names", CLASS_NAMES)))
        values = {**table.parse([]), **values}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{run_dir}: holds no run ({error}); name the --output_dir of "
                          "one") from None
    _check_types(run_dir, values)
    # Where its first weights came from need not exist any more.
    config = resolve({**values, "output_dir": str(run_dir)})
    child = dataclasses.replace(config.child, num_classes=len(names))
    return StoredRun(dataclasses.replace(config, child=child), names)


def _check_types(run_dir: pathlib.Path, values: Mapping[str, Any]) -> None:
    """A file may hold anything: values of flags are of the flags' types."""
    for flag in table.FLAGS:
        value, kind = values[flag.name], str if isinstance(flag.kind, tuple) else flag.kind
        known = value is None if flag.default is None else False
        kinds = (int, float) if kind is float else (kind,)
        if not known and (not isinstance(value, kinds) or (
                isinstance(value, bool) and kind is not bool)):
            raise ConfigError(f"{run_dir / CONFIG}: {flag.name} is {str(value)[:40]!r}, which no "
                              "run writes there; put a copy of the file back")


def stored_search(run_dir: pathlib.Path) -> StoredRun:
    """The search that wrote into a folder.

    Raises:
        ConfigError: no run, or a final training.
    """
    run = stored_run(run_dir)
    if run.config.child.fixed_arc is not None:
        raise ConfigError(f"{run_dir}: is a final training, not a search")
    return run
