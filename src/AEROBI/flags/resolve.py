"""From flag values to the configuration of a run; what cannot be run is refused."""

from collections.abc import Mapping, Sequence
from typing import Any

from AEROBI.config import (
    MACRO,
    MICRO,
    OTHERS,
    QUIRKS,
    ChildConfig,
    ConfigError,
    ControllerConfig,
    DataConfig,
    RunConfig,
    TrainConfig,
)
from AEROBI.flags import table
from AEROBI.flags.fixed_arc import read_fixed_arc
from AEROBI.micro.cells import CELL_OPERATIONS
from AEROBI.micro.layout import GROUPS
from AEROBI.search_space.spaces import space_of_values


def check(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values, once they are known to describe a run; nothing but flags is needed.

    `child_fixed_arc` becomes the architecture itself, wherever it was written.

    Raises:
        ConfigError: a value or a combination that cannot be run; names the flag.
    """
    table.check_values(values)
    for name in ("data_path", "output_dir"):
        if not values[name].strip():
            raise ConfigError(f"--{name} is missing: name a folder")
    _check_not_offered(values)
    _check_final(values)
    _check_sizes(values)
    _check_cells(values)
    _check_schedule(values)
    _check_baseline(values)
    _check_alone(values)
    _quirks(values["reference_quirks"])
    arc = values["child_fixed_arc"]
    if arc is not None:
        arc = str(read_fixed_arc(arc, space_of_values(values), values["init_from"]))
    return {**values, "child_fixed_arc": arc}


def resolve(values: Mapping[str, Any], class_names: Sequence[str],
            data_format: str) -> RunConfig:
    """The whole configuration of a run: what the flags say, its data and its machine.

    Args:
        values: by flag name.
        class_names: of the data set.
        data_format: what --data_format=auto is on this machine, "NHWC" or "NCHW".

    Raises:
        ConfigError: as of `check`.
    """
    values = check(values)
    quirks = _quirks(values["reference_quirks"])
    return RunConfig(
        output_dir=values["output_dir"],
        data=_data(values, quirks),
        child=_child(values, quirks, len(class_names), data_format),
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
    return DataConfig(
        data_path=values["data_path"], cache_dir=values["cache_dir"],
        img_size=values["img_size"], batch_size=values["batch_size"],
        cutout_size=values["child_cutout_size"], random_eval="random_eval" in quirks,
        aliased_scaling="aliased_scaling" in quirks)


def _child(values: Mapping[str, Any], quirks: frozenset[str], num_classes: int,
           data_format: str) -> ChildConfig:
    arc = values["child_fixed_arc"]
    return ChildConfig(
        num_layers=values["child_num_layers"], out_filters=_filters(values),
        num_branches=values["child_num_branches"], num_classes=num_classes,
        keep_prob=values["child_keep_prob"],
        data_format=data_format if values["data_format"] == "auto" else values["data_format"],
        fixed_arc=None if arc is None else tuple(map(int, arc.split())),
        network=values["child_network"], late_binding="late_binding" in quirks,
        dense_separable="dense_separable" in quirks, precision=values["precision"],
        search_for=values["search_for"] or MACRO, num_cells=values["child_num_cells"],
        drop_path_keep_prob=values["child_drop_path_keep_prob"],
        use_aux_heads=values["child_use_aux_heads"])


def _filters(values: Mapping[str, Any]) -> int:
    """Filters of the stem: --child_out_filters times its scale."""
    return values["child_out_filters"] * values["child_out_filters_scale"]


def _train(values: Mapping[str, Any], quirks: frozenset[str]) -> TrainConfig:
    return TrainConfig(
        l2_reg=values["child_l2_reg"], grad_bound=values["child_grad_bound"],
        lr=values["child_lr"], lr_dec_every=values["child_lr_dec_every"],
        lr_dec_rate=values["child_lr_dec_rate"], lr_cosine=values["child_lr_cosine"],
        lr_per_step=values["child_lr_per_step"],
        lr_max=values["child_lr_max"], lr_min=values["child_lr_min"],
        lr_T_0=values["child_lr_T_0"], lr_T_mul=values["child_lr_T_mul"],
        no_clipping="no_clipping" in quirks, restart_step="restart_step" in quirks)


def _controller(values: Mapping[str, Any]) -> ControllerConfig:
    return ControllerConfig(
        num_layers=values["child_num_layers"], num_branches=values["child_num_branches"],
        search_for=values["search_for"] or MACRO, num_cells=values["child_num_cells"],
        op_tanh_reduce=values["controller_op_tanh_reduce"],
        tanh_constant=values["controller_tanh_constant"],
        temperature=values["controller_temperature"], lr=values["controller_lr"],
        l2_reg=values["controller_l2_reg"],
        entropy_weight=values["controller_entropy_weight"],
        bl_dec=values["controller_bl_dec"], skip_target=values["controller_skip_target"],
        skip_weight=values["controller_skip_weight"],
        num_aggregate=values["controller_num_aggregate"],
        sync_replicas=values["controller_sync_replicas"],
        train_steps=values["controller_train_steps"],
        train_every=values["controller_train_every"], training=values["controller_training"],
        child_sampling=values["child_sampling"], alone_epochs=values["child_alone_epochs"],
        warmup_epochs=values["controller_warmup_epochs"], reward=values["controller_reward"],
        reward_bn=values["controller_reward_bn"], reward_images=values["controller_reward_images"],
        reward_scale=values["controller_reward_scale"], baseline=values["controller_baseline"])


def _quirks(text: str) -> frozenset[str]:
    if text.strip() == "all":
        return frozenset(QUIRKS)
    names = frozenset(filter(None, (name.strip() for name in text.split(","))))
    for name in sorted(names - QUIRKS.keys()):
        raise ConfigError(
            f"--reference_quirks: no quirk {name!r}; there are all, {', '.join(QUIRKS)}")
    return names


def _check_sizes(values: Mapping[str, Any]) -> None:
    """Sizes that do not fit each other."""
    cutout_size, filters = values["child_cutout_size"], _filters(values)
    if cutout_size is not None and cutout_size > values["img_size"]:
        raise ConfigError(f"--child_cutout_size={cutout_size}: larger than the patch of "
                          f"--img_size={values['img_size']} pixels")
    structure = values["child_network"] or (
        "search" if values["child_fixed_arc"] is None else "final")
    if structure == "search" and filters % 2 and values["search_for"] != MICRO:
        raise ConfigError(f"--child_out_filters={filters}: must be even, the factorized "
                          "reduction makes half of them on each of its two paths")


def _check_cells(values: Mapping[str, Any]) -> None:
    """What --search_for=micro cannot have."""
    if values["search_for"] != MICRO:
        return
    layers, branches = values["child_num_layers"], values["child_num_branches"]
    if layers < GROUPS:
        raise ConfigError(f"--child_num_layers={layers}: cells are stacked in {GROUPS} groups, "
                          f"with --search_for={MICRO} give at least {GROUPS}")
    if branches > len(CELL_OPERATIONS):
        raise ConfigError(f"--child_num_branches={branches}: --search_for={MICRO} has "
                          f"{len(CELL_OPERATIONS)} operations; give that or fewer")
    if values["child_network"] == "search":
        raise ConfigError("--child_network=search: cells are searched as they are trained; leave "
                          f"it out with --search_for={MICRO}")
    for name in sorted(_quirks(values["reference_quirks"]) & {"late_binding", "dense_separable"}):
        raise ConfigError(f"--reference_quirks: {name} is a fault of the published children of "
                          f"whole networks; leave it out with --search_for={MICRO}")


def _check_schedule(values: Mapping[str, Any]) -> None:
    """What a cosine schedule needs."""
    if values["child_lr_cosine"]:
        for name in ("child_lr_max", "child_lr_min", "child_lr_T_0", "child_lr_T_mul"):
            if values[name] is None:
                raise ConfigError(f"--child_lr_cosine needs --{name}")
        if values["child_lr_min"] > values["child_lr_max"]:
            raise ConfigError(f"--child_lr_min={values['child_lr_min']} is above "
                              f"--child_lr_max={values['child_lr_max']}")


def _check_baseline(values: Mapping[str, Any]) -> None:
    averaged = values["controller_sync_replicas"] and values["controller_num_aggregate"] > 1
    if values["controller_baseline"] == OTHERS and not averaged:
        raise ConfigError(f"--controller_baseline={OTHERS} needs other samples in an update: add "
                          "--controller_sync_replicas --controller_num_aggregate=10")


def _check_alone(values: Mapping[str, Any]) -> None:
    """What a search whose architectures share no weights needs."""
    alone = values["child_alone_epochs"]
    if not alone or values["child_fixed_arc"] is not None:
        return
    ends = {"num_epochs": "the last training would not come to its end"}
    if values["controller_training"]:
        ends["controller_train_every"] = "the policy would change within a training"
    for name, cut in ends.items():
        if values[name] % alone:
            raise ConfigError(f"--{name}={values[name]}: {cut}; give a multiple of "
                              f"--child_alone_epochs={alone}")


def _check_final(values: Mapping[str, Any]) -> None:
    """Flags that only a final training has."""
    if values["child_fixed_arc"] is None:
        for name in ("init_from", "early_stopping_epochs"):
            if values[name]:
                raise ConfigError(f"--{name} is for a final training: add --child_fixed_arc")


def _check_not_offered(values: Mapping[str, Any]) -> None:
    if not values["controller_search_whole_channels"]:
        raise ConfigError("--controller_search_whole_channels must be given: searching for "
                          "ranges of channels is not offered")
    if values["controller_use_critic"]:
        raise ConfigError("--controller_use_critic is not offered: leave it out")
