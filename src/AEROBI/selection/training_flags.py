"""The flags of the trainings of candidates: the final preset, on the search's own data and size."""

from collections.abc import Mapping, Sequence
from typing import Any

from AEROBI.config import MICRO, ConfigError, RunConfig
from AEROBI.flags import presets, table

CHECKPOINT_SECS = 60  # what a kill may cost
# What a candidate's training gets from here, or cannot have.
_OWN = ("output_dir", "reset_output_dir", "child_fixed_arc", "early_stopping_epochs",
        *(flag.name for flag in table.CLUSTER))


def training_words(words: Sequence[str], search: RunConfig | None) -> list[str]:
    """What `aerobi final` would be given, without architecture and folder.

    Args:
        words: the user's own flags; they stand last, so that they count.
        search: the search whose data and size come before them; None: the flags name them.

    Raises:
        ConfigError: a flag that is set for each training.
    """
    for word in words:
        name = word.lstrip("-").partition("=")[0]
        if name in _OWN or name.removeprefix("no") in _OWN:
            raise ConfigError(f"--{name}: is set for every training; leave it out behind --")
    return [f"--checkpoint_secs={CHECKPOINT_SECS}", *(_of_search(search) if search else ()), *words]


def training_values(words: Sequence[str]) -> dict[str, Any]:
    """Values of all flags of a training, but for its architecture and folder.

    Args:
        words: of `training_words`.

    Raises:
        ConfigError: a flag that is none, or a value that it cannot have.
    """
    return table.parse(presets.words("final", words))


def what_is_computed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Flag -> value, of the flags that must be the same when the trainings go on."""
    return {name: value for name, value in table.record(values).items()
            if name not in table.MAY_CHANGE and name not in _OWN}


def _of_search(search: RunConfig) -> list[str]:
    data, child, train = search.data, search.child, search.train
    quirks = {"dense_separable": child.dense_separable, "no_clipping": train.no_clipping,
              "random_eval": data.random_eval, "aliased_scaling": data.aliased_scaling,
              "restart_step": train.restart_step}
    flags = {
        "data_path": data.data_path, "cache_dir": data.cache_dir, "img_size": data.img_size,
        "batch_size": data.batch_size, "child_num_layers": child.num_layers,
        "child_out_filters": child.out_filters, "child_num_branches": child.num_branches,
        "precision": child.precision, "seed": search.seed,
        "reference_quirks": ",".join(name for name, given in quirks.items() if given)}
    if child.search_for == MICRO:
        flags |= {"search_for": MICRO, "child_num_cells": child.num_cells}
    return [f"--{name}={value}" for name, value in flags.items()]
