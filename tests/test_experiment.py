"""How a run in one process ends, whatever ends it."""

import pytest
import tiny_run

from AEROBI import experiment
from AEROBI.data_utils import read_data_set
from AEROBI.flags import table
from AEROBI.run.run_dir import RunDirectory
from AEROBI.training.not_finite import NonFiniteError
from AEROBI.training.trainer import Trainer


def test_its_session_is_closed(tiny_data, tmp_path, monkeypatch):
    """Else threads of TensorFlow read batches on, in Python, while the interpreter ends.

    1e30 is a learning rate that ends the run after a few steps, in the middle of an epoch.
    """
    trainers = []

    def make(*arguments):
        trainers.append(Trainer(*arguments))
        return trainers[-1]

    monkeypatch.setattr(experiment, "Trainer", make)
    values = table.parse(tiny_run.words({
        **tiny_run.SHALLOW_FINAL, "data_path": tiny_data, "output_dir": tmp_path / "run",
        "cache_dir": tmp_path / "cache", "child_lr_max": 1e30, "num_epochs": 100}))
    data_set = read_data_set(values["data_path"])
    config, record = experiment.configure(values, data_set)
    with RunDirectory.open(config.output_dir, record, False) as run_dir, \
            pytest.raises(NonFiniteError):
        experiment.run(config, run_dir, data_set)
    with pytest.raises(RuntimeError, match="closed"):
        trainers[0].session.run([])
