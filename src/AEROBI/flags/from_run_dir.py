"""What a run directory says of itself: the configuration it was made with."""

import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from AEROBI.config import ConfigError, RunConfig
from AEROBI.data_utils import CLASS_NAMES
from AEROBI.flags import table
from AEROBI.flags.resolve import resolve
from AEROBI.run.regular_files import read_json
from AEROBI.run.run_dir_checks import CONFIG

DATA_FORMAT = "NHWC"  # a run records its own; a record with "auto" is of no machine


class StoredRun(NamedTuple):
    """A run as it was configured, and the classes of its data."""

    config: RunConfig
    class_names: tuple[str, ...]


def is_run(run_dir: pathlib.Path) -> bool:
    """Whether a folder has the configuration of a run."""
    return (run_dir / CONFIG).is_file()


def stored_run(run_dir: pathlib.Path, changed: Mapping[str, Any] | None = None) -> StoredRun:
    """Reads the configuration of the run that wrote into a folder.

    Args:
        run_dir: the folder.
        changed: values of flags by name, in the place of those that the run had.

    Raises:
        ConfigError: none has.
    """
    try:
        values = read_json(run_dir / CONFIG)["configuration"]
        names = tuple(map(str, values.get("class_names", CLASS_NAMES)))
        values = {**table.parse([]), **values}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"{run_dir}: holds no run ({error}); name the --output_dir of "
                          "one") from None
    _check_types(run_dir, values)
    values = {**values, "output_dir": str(run_dir), **(changed or {})}
    return StoredRun(resolve(values, names, DATA_FORMAT), names)


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


def stored_search(run_dir: pathlib.Path,
                  changed: Mapping[str, Any] | None = None) -> StoredRun:
    """The search that wrote into a folder; arguments as of `stored_run`.

    Raises:
        ConfigError: no run, or a final training.
    """
    run = stored_run(run_dir, changed)
    if not run.config.is_search:
        raise ConfigError(f"{run_dir}: is a final training, not a search")
    return run
