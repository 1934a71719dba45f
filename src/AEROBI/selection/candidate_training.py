"""The training of one candidate in this process: from its checkpoint to the end of a rung."""

import dataclasses
import gc
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from AEROBI import experiment
from AEROBI.config import RunConfig
from AEROBI.data_utils import DataSet, log_summary
from AEROBI.flags import table
from AEROBI.records.ranking import worth
from AEROBI.records.run_files import number, records_of_json_lines
from AEROBI.run.run_dir import RunDirectory
from AEROBI.search_space.spaces import AnyArchitecture
from AEROBI.training.not_finite import NonFiniteError
from AEROBI.training.stopping import Stopped


class RungResult(NamedTuple):
    """What one candidate was worth at the end of a rung."""

    epochs: int  # that it has been trained for
    exact_match: float | None  # of the best epoch on validation so far; None: it failed
    mean_average_precision: float | None  # of that epoch; None where no image has a label
    curve: list[tuple[int, float]]  # (epochs trained, validation exact match)
    cpu_seconds: float  # of this process for this rung
    failure: str = ""
    loss: float | None = None  # of that epoch


class Trainings(NamedTuple):
    """What the trainings of all candidates have in common."""

    folder: Path
    values: Mapping[str, Any]  # of all flags; see `training_values`
    data_set: DataSet
    measure: str  # one of `ranking.TRAINED_MEASURES`


def annealed_name(name: str, epochs: int) -> str:
    """The folder of a candidate's training of so many epochs, fewer than a whole one has."""
    return f"{name}_{epochs}_epochs"


def configured(trainings: Trainings, architecture: AnyArchitecture, name: str,
               epochs: int | None = None) -> tuple[RunConfig, dict[str, Any]]:
    """The configuration of a whole training, and what its directory keeps of it.

    With `epochs` it is one of so many, in a folder of its own, and the learning rate has come down
    when they are over.

    Raises:
        ConfigError: the flags cannot be run.
    """
    shorter = {}
    if epochs is not None:
        name = annealed_name(name, epochs)
        shorter = {"num_epochs": epochs, "child_lr_T_0": epochs}
    values = {**trainings.values, **shorter, "child_fixed_arc": str(architecture),
              "output_dir": str(trainings.folder / name)}
    return experiment.configure(values, trainings.data_set)


def train(trainings: Trainings, architecture: AnyArchitecture, name: str, epochs: int,
          epochs_done: Callable[[int], None], annealed: bool = False) -> RungResult:
    """Trains on, or from the start, until so many epochs are done.

    The folder is that of a final training of all its epochs, stopped after some of them: the
    same flags go on with it. Annealed, it is a training of so many epochs from the start.

    Args:
        trainings: common to all.
        architecture: of the candidate.
        name: of its folder.
        epochs: after which the rung ends.
        epochs_done: called with their number before the first epoch and after each.
        annealed: whether the learning rate comes down within these epochs.

    Raises:
        CheckpointError, OSError, RunDirectoryError: of the folder.
        Stopped: by a signal, after a checkpoint was written.
    """
    config, record = configured(trainings, architecture, name)
    if annealed and epochs < config.num_epochs:
        config, record = configured(trainings, architecture, name, epochs)
    began = time.process_time()
    failure = ""
    with RunDirectory.open(config.output_dir, record, False, table.MAY_CHANGE,
                           table.DEFAULTS) as run_dir:
        log_summary(trainings.data_set)
        try:
            status = experiment.run(dataclasses.replace(config, num_epochs=epochs), run_dir,
                                    trainings.data_set, epochs_done)
        except NonFiniteError as error:
            status, failure = 0, str(error)
    gc.collect()  # graph and session are in a circle
    if status:
        raise Stopped(status - 128)
    evaluations = records_of_json_lines(run_dir.path, [])["evaluations"]
    return _result(evaluations, trainings.measure, RungResult(
        epochs, None, None, [], time.process_time() - began, failure))


def _result(evaluations: Sequence[Mapping[str, Any]], measure: str,
            result: RungResult) -> RungResult:
    """Adds what the evaluations on validation say; those on test are not looked at.

    A record that is damaged, without a number of epoch or exact match, is left out.
    """
    evaluated = [
        (int(number(record.get("epoch"))), number(record.get("exact_match")),
         number(record.get("mean_average_precision"), -1.0), number(record.get("loss"), math.inf))
        for record in evaluations if record.get("split") == "val"
        and not math.isnan(number(record.get("epoch")) + number(record.get("exact_match")))]
    result = result._replace(curve=[(epoch + 1, exact) for epoch, exact, *_ in evaluated])
    if result.failure or not evaluated:
        return result._replace(failure=result.failure or "nothing was evaluated")
    _, exact_match, precision, loss = max(
        evaluated, key=lambda found: worth(*found[1:3], measure, found[3]))
    return result._replace(
        exact_match=exact_match, mean_average_precision=precision if precision >= 0 else None,
        loss=loss if math.isfinite(loss) else None)
