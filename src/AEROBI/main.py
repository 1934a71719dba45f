"""Entry point: flags → configuration → search or final training."""

import dataclasses
import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

if not __package__:  # called by its path, as the published scripts do
    import pathlib

    sys.path[0] = str(pathlib.Path(__file__).resolve().parents[1])

from tqdm.contrib.logging import logging_redirect_tqdm

from AEROBI import flags
from AEROBI.config import ConfigError, RunConfig
from AEROBI.data_utils import DataError, DataSet, log_summary, read_data_set
from AEROBI.resolve import resolve

log = logging.getLogger("AEROBI.main")

USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs what the flags in `argv` describe; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if {"--help", "-help", "--helpfull", "-h"} & set(argv):
        sys.stdout.write(flags.usage() + "\n")
        return 0
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    try:
        values = flags.parse(argv)
        config = resolve(values)
        data_set = read_data_set(config.data.data_path)
        with logging_redirect_tqdm():  # lines above a progress bar, not into it
            return _start(values, config, data_set, flags.ignored(argv))
    except (ConfigError, DataError) as error:
        log.error("Error: %s", error)
        return USAGE_ERROR
    except KeyboardInterrupt:  # outside the training loop, or for the second time
        log.error("Stopped. Nothing was trained since the last checkpoint.")
        return 128 + signal.SIGINT


def _start(values: Mapping[str, Any], config: RunConfig, data_set: DataSet,
           notes: Sequence[str]) -> int:
    """Opens the run directory and runs. TensorFlow is imported here, after the cheap checks."""
    from AEROBI import runner
    from AEROBI.checkpoints import CheckpointError
    from AEROBI.run_dir import RunDirectory, RunDirectoryError
    from AEROBI.session import resolve_data_format

    data_format = resolve_data_format(config.child.data_format)
    config = dataclasses.replace(config, child=dataclasses.replace(
        config.child, data_format=data_format, num_classes=len(data_set.class_names)))
    record = {**flags.record(values), "data_format": data_format}
    try:
        with RunDirectory.open(config.output_dir, record, values["reset_output_dir"],
                               flags.MAY_CHANGE) as run_dir:
            for note in notes:
                log.info("%s", note)
            log_summary(data_set)
            try:
                return runner.run(config, run_dir, data_set)
            except (CheckpointError, OSError) as error:  # also a disk that is full
                log.error("Error: %s", error)
                return USAGE_ERROR
    except RunDirectoryError as error:
        log.error("Error: %s", error)
        return USAGE_ERROR


if __name__ == "__main__":
    sys.exit(main())
