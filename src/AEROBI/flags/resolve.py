"""From flag values to the configuration of a run; what cannot be run is refused."""

import math
from collections.abc import Mapping
from typing import Any

from AEROBI.architecture import OPERATION_NAMES
from AEROBI.config import (
    PRECISIONS,
    QUIRKS,
    ChildConfig,
    ConfigError,
    ControllerConfig,
    DataConfig,
    RunConfig,
    TrainConfig,
)
from AEROBI.flags.fixed_arc import read_fixed_arc

SMALLEST_PATCH = 8  # pixels; two reductions leave 2

POSITIVE = (
    "batch_size", "num_epochs", "log_every", "eval_every_epochs", "child_num_layers",
    "child_out_filters", "child_out_filters_scale", "child_num_branches", "child_cutout_size",
    "child_grad_bound", "child_lr", "child_lr_dec_every", "child_lr_max", "child_lr_T_0",
    "child_lr_T_mul", "controller_train_every", "controller_train_steps",
    "child_num_replicas", "child_num_aggregate", "controller_num_replicas", "cluster_timeout_secs",
    "controller_num_aggregate", "controller_lr", "controller_tanh_constant",
    "controller_temperature")
NOT_NEGATIVE = (
    "seed", "checkpoint_secs", "child_l2_reg", "child_lr_min", "controller_l2_reg",
    "controller_entropy_weight", "controller_skip_weight", "early_stopping_epochs")


def resolve(values: Mapping[str, Any]) -> RunConfig:
    """The configuration that the flags describe.

    Raises:
        ConfigError: a value or a combination that cannot be run; names the flag.
    """
    _check_ranges(values)
    _check_not_offered(values)
    _check_final(values)
    quirks = _quirks(values["reference_quirks"])
    return RunConfig(
        output_dir=_required(values, "output_dir"),
        data=_data(values, quirks),
        child=_child(values, quirks),
        train=_train(values, quirks),
        controller=_controller(values),
        num_epochs=values["num_epochs"],
        log_every=values["log_every"],
        eval_every_epochs=values["eval_every_epochs"],
        seed=values["seed"],
        deterministic=values["deterministic"],
        checkpoint_secs=values["checkpoint_secs"],
        init_from=values["init_from"],
        early_stopping_epochs=values["early_stopping_epochs"],
        xla=values["xla"],
        on_nan=values["on_nan"])


def _data(values: Mapping[str, Any], quirks: frozenset[str]) -> DataConfig:
    img_size, cutout_size = values["img_size"], values["child_cutout_size"]
    if img_size < SMALLEST_PATCH:
        raise ConfigError(f"--img_size={img_size}: at least {SMALLEST_PATCH} pixels")
    if cutout_size is not None and cutout_size > img_size:
        raise ConfigError(f"--child_cutout_size={cutout_size}: larger than the patch of "
                          f"--img_size={img_size} pixels")
    return DataConfig(
        data_path=_required(values, "data_path"), cache_dir=values["cache_dir"],
        img_size=img_size, batch_size=values["batch_size"], cutout_size=cutout_size,
        random_eval="random_eval" in quirks)


def _child(values: Mapping[str, Any], quirks: frozenset[str]) -> ChildConfig:
    fixed_arc = None
    filters = values["child_out_filters"] * values["child_out_filters_scale"]
    layers, branches = values["child_num_layers"], values["child_num_branches"]
    if branches > len(OPERATION_NAMES):
        raise ConfigError(
            f"--child_num_branches={branches}: there are {len(OPERATION_NAMES)} operations")
    if values["child_fixed_arc"] is not None:
        fixed_arc = tuple(read_fixed_arc(
            values["child_fixed_arc"], layers, values["init_from"]).numbers())
    if (fixed_arc is None or values["child_network"] == "search") and filters % 2:
        raise ConfigError(f"--child_out_filters={filters}: must be even, the factorized "
                          "reduction makes half of them on each of its two paths")
    if not 0 < values["child_keep_prob"] <= 1:
        raise ConfigError(f"--child_keep_prob={values['child_keep_prob']}: above 0, at most 1")
    if values["precision"] not in PRECISIONS:  # in a config.json, which no parser has seen
        raise ConfigError(f"--precision={values['precision']}: one of {', '.join(PRECISIONS)}")
    return ChildConfig(
        num_layers=layers, out_filters=filters, num_branches=branches,
        keep_prob=values["child_keep_prob"], data_format=values["data_format"],
        fixed_arc=fixed_arc, network=values["child_network"],
        late_binding="late_binding" in quirks,
        dense_separable="dense_separable" in quirks, precision=values["precision"])


def _train(values: Mapping[str, Any], quirks: frozenset[str]) -> TrainConfig:
    if values["child_lr_cosine"]:
        for name in ("child_lr_max", "child_lr_min", "child_lr_T_0", "child_lr_T_mul"):
            if values[name] is None:
                raise ConfigError(f"--child_lr_cosine needs --{name}")
        if values["child_lr_min"] > values["child_lr_max"]:
            raise ConfigError(f"--child_lr_min={values['child_lr_min']} is above "
                              f"--child_lr_max={values['child_lr_max']}")
    return TrainConfig(
        l2_reg=values["child_l2_reg"], grad_bound=values["child_grad_bound"],
        lr=values["child_lr"], lr_dec_every=values["child_lr_dec_every"],
        lr_dec_rate=values["child_lr_dec_rate"], lr_cosine=values["child_lr_cosine"],
        lr_max=values["child_lr_max"], lr_min=values["child_lr_min"],
        lr_T_0=values["child_lr_T_0"], lr_T_mul=values["child_lr_T_mul"],
        no_clipping="no_clipping" in quirks, restart_step="restart_step" in quirks)


def _controller(values: Mapping[str, Any]) -> ControllerConfig:
    for name, low in (("controller_bl_dec", True), ("controller_skip_target", False)):
        if not (0 <= values[name] < 1 if low else 0 < values[name] < 1):
            raise ConfigError(f"--{name}={values[name]}: {'at least' if low else 'above'} 0, "
                              "below 1")
    return ControllerConfig(
        num_layers=values["child_num_layers"], num_branches=values["child_num_branches"],
        tanh_constant=values["controller_tanh_constant"],
        temperature=values["controller_temperature"], lr=values["controller_lr"],
        l2_reg=values["controller_l2_reg"],
        entropy_weight=values["controller_entropy_weight"],
        bl_dec=values["controller_bl_dec"], skip_target=values["controller_skip_target"],
        skip_weight=values["controller_skip_weight"],
        num_aggregate=values["controller_num_aggregate"],
        sync_replicas=values["controller_sync_replicas"],
        train_steps=values["controller_train_steps"],
        train_every=values["controller_train_every"], training=values["controller_training"])


def _quirks(text: str) -> frozenset[str]:
    if text.strip() == "all":
        return frozenset(QUIRKS)
    names = frozenset(filter(None, (name.strip() for name in text.split(","))))
    for name in sorted(names - QUIRKS.keys()):
        raise ConfigError(
            f"--reference_quirks: no quirk {name!r}; there are all, {', '.join(QUIRKS)}")
    return names


def _required(values: Mapping[str, Any], name: str) -> str:
    if not values[name].strip():
        raise ConfigError(f"--{name} is missing: name a folder")
    return values[name]


def _check_ranges(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"--{name}={value}: must be a finite number")
    for names, allowed, text in ((POSITIVE, lambda v: v > 0, "above 0"),
                                 (NOT_NEGATIVE, lambda v: v >= 0, "0 or above")):
        for name in names:
            if values[name] is not None and not allowed(values[name]):
                raise ConfigError(f"--{name}={values[name]}: must be {text}")
    if not 0 < values["child_lr_dec_rate"] <= 1:
        raise ConfigError(
            f"--child_lr_dec_rate={values['child_lr_dec_rate']}: above 0, at most 1")
    if values["seed"] >= 2**31:
        raise ConfigError(f"--seed={values['seed']}: below 2147483648")


def _check_final(values: Mapping[str, Any]) -> None:
    """Flags that only a final training has."""
    if values["child_fixed_arc"] is None:
        for name in ("init_from", "early_stopping_epochs"):
            if values[name]:
                raise ConfigError(f"--{name} is for a final training: add --child_fixed_arc")
        if values["child_network"] != "final":
            raise ConfigError("--child_network=search is for a final training: add "
                              "--child_fixed_arc")
    if values["init_from"] and values["child_network"] != "search":
        raise ConfigError("--init_from: shared weights fit only --child_network=search")


def _check_not_offered(values: Mapping[str, Any]) -> None:
    if not values["controller_search_whole_channels"]:
        raise ConfigError("--controller_search_whole_channels must be given: searching for "
                          "ranges of channels is not offered")
    if values["controller_use_critic"]:
        raise ConfigError("--controller_use_critic is not offered: leave it out")
