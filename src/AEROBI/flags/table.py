"""The command line: every flag of the published code and a few of our own.

One table names each flag with its type, default, help, range and group. Parsing is absl's, as in
the published code, so that `--flag`, `--noflag`, `--flag=value` and `--flag value` all work.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags as absl_flags

from AEROBI.architecture import OPERATIONS
from AEROBI.config import (
    BASELINES,
    MICRO,
    MOVING,
    POLICY,
    PRECISIONS,
    QUIRKS,
    REWARDS,
    SAMPLINGS,
    SEARCH_SPACES,
    SKIP,
    STOP,
    ConfigError,
)


class Flag(NamedTuple):
    """One row of the table: a flag's name, type, default, help and range."""

    name: str
    kind: type | tuple[str, ...]  # a tuple lists the values allowed
    default: Any
    help: str
    low: float | None = None  # smallest number allowed
    high: float | None = None  # largest number allowed: far beyond what anybody trains
    ignored: str = ""  # why the flag has no effect
    only_for: str = ""  # a value of --search_for; with another one it has no effect

    def no_effect(self, search_for: str | None) -> str:
        """Why it has no effect on a search for that; empty where it has."""
        if self.only_for and self.only_for != search_for:
            return f"belongs to --search_for={self.only_for}"
        return self.ignored


NO_EFFECT = "has no effect"

SMALLEST_PATCH = 8  # pixels; two reductions leave 2
TINY = 1e-9  # the smallest number of a flag that must be above 0
LARGE = 1e30  # the largest of a flag without a scale of its own; its square is no float32
MANY = 1_000_000  # the largest count, of epochs or steps
LARGEST_PATCH = 4096  # pixels
MOST_WORKERS = 10_000

RUN = (
    Flag("data_path", str, "", "folder of the data set, or its CSV file; required"),
    Flag("output_dir", str, "", "folder the run writes into, and is resumed from; required"),
    Flag("reset_output_dir", bool, False, "remove output_dir first, if it is a run's"),
    Flag("num_epochs", int, 300, "passes over the training split", 1, MANY),
    Flag("batch_size", int, 32, "images a batch", 1, 65_536),
    Flag("log_every", int, 50, "steps from one log line to the next", 1, MANY),
    Flag("eval_every_epochs", int, 1, "epochs from one evaluation of val and test to the next",
         1, MANY),
    Flag("search_for", SEARCH_SPACES, None, "what the controller chooses: operations and skips "
         "(macro, the default; branch is another name for it, as published), with connection "
         "skips alone, every operation being 0, or two cells that are stacked (micro)"),
    Flag("data_format", ("auto", "NHWC", "NCHW"), "auto", "auto: NCHW on a GPU, NHWC on a CPU"),
    Flag("precision", PRECISIONS, "float32", "of feature maps; weights and updates stay float32. "
         "float16: gradients too large for it are infinite, and with --on_nan=skip only their "
         "updates are left out"),
    Flag("xla", bool, False, "compile operations; for a GPU: on a CPU it is slower, and every "
         "operation that is sampled for the first time takes seconds"),
    Flag("img_size", int, 224, "side of a patch in pixels", SMALLEST_PATCH, LARGEST_PATCH),
    Flag("seed", int, 0, "of everything random", 0, 2**31 - 1),
    Flag("deterministic", bool, False, "the same bits in every run on the same machine"),
    Flag("reference_quirks", str, "", f"faults of the published code to repeat: all, or a "
         f"comma-separated list of {', '.join(QUIRKS)}. all does not bring back the differences "
         "that README lists as without a switch"),
    Flag("cache_dir", str, "", "folder of the packed images; default ~/.cache/aerobi"),
    Flag("checkpoint_secs", float, 300.0, "seconds from one checkpoint to the next", 0, 1e9),
    Flag("on_nan", (STOP, SKIP), STOP, "a loss or gradient that is nan or infinite ends the run, "
         "or that one update is left out"),
)

CHILD = (
    Flag("child_num_layers", int, 5, "layers of the child; with --search_for=micro normal cells, "
         "besides two reduction cells", 1, 64),
    Flag("child_out_filters", int, 48, "filters of the stem; with --search_for=micro of the first "
         "cells, and the stem has three times as many", 1, 4096),
    Flag("child_out_filters_scale", int, 1, "the child has so many times --child_out_filters",
         1, 64),
    Flag("child_num_branches", int, 4, "operations to choose from, 1 to 6; with "
         "--search_for=micro 1 to 5",
         1, len(OPERATIONS)),
    Flag("child_keep_prob", float, 0.5, "share of features that dropout keeps", 0.01, 1),
    Flag("child_fixed_arc", str, None, "train this architecture instead of searching: its string, "
         "a file, or FOLDER#3, FOLDER#best of a search's architectures.json"),
    Flag("child_network", ("final", "search"), None, "structure of the child. search: keeps its "
         "width, adds skips; final: doubles its width, joins skips by a convolution. Default: as "
         "published, search without child_fixed_arc, final with it"),
    Flag("init_from", str, "", "begin with the shared weights of the search in this folder; "
         "it had the same child_network"),
    Flag("early_stopping_epochs", int, 0, "end a final training when validation has not become "
         "better for so many epochs; 0: never", 0, MANY),
    Flag("child_cutout_size", int, None, "side in pixels of Cutout on training patches",
         1, LARGEST_PATCH),
    Flag("child_l2_reg", float, 1e-4, "weight of the sum of squared weights", 0, LARGE),
    Flag("child_grad_bound", float, 5.0, "largest norm of the gradient of one tensor", TINY, LARGE),
    Flag("child_lr", float, 0.1, "first learning rate, without child_lr_cosine", TINY, LARGE),
    Flag("child_lr_dec_rate", float, 0.1, "its factor, every child_lr_dec_every epochs", TINY, 1),
    Flag("child_lr_dec_every", int, 100, "epochs from one reduction to the next", 1, MANY),
    Flag("child_lr_cosine", bool, False, "cosine schedule with warm restarts"),
    Flag("child_lr_per_step", bool, False, "it follows the steps; else it changes from epoch to "
         "epoch, which leaves a short training with a large last one"),
    Flag("child_lr_max", float, None, "its largest learning rate", 1e-30, LARGE),
    Flag("child_lr_min", float, None, "its smallest learning rate", 0, LARGE),
    Flag("child_lr_T_0", int, None, "epochs to the first restart", 1, MANY),
    Flag("child_lr_T_mul", int, None, "factor from one restart's epochs to the next's", 1, MANY),
    Flag("child_num_replicas", int, 1, "workers that train the child: those of the cluster",
         1, MOST_WORKERS),
    Flag("child_sync_replicas", bool, False, "average the workers' gradients into one update; "
         "without: each is an update, asynchronously"),
    Flag("child_num_aggregate", int, None, "gradients to average, the first that come; default: "
         "of all workers", 1, MOST_WORKERS),
    Flag("child_num_cells", int, 5, "nodes of a cell", 1, 64, only_for=MICRO),
    Flag("child_drop_path_keep_prob", float, 1.0, "share of paths that drop path keeps in the last "
         "layer at the end of training; it falls to that with depth and over all epochs", 0.01, 1,
         only_for=MICRO),
    Flag("child_use_aux_heads", bool, False, "train with an auxiliary head after two thirds of the "
         "layers, whose loss counts 0.4", only_for=MICRO),
    Flag("child_filter_size", int, 5, "accepted for old command lines", ignored=NO_EFFECT),
    Flag("child_block_size", int, 3, "accepted for old command lines", ignored=NO_EFFECT),
    Flag("child_skip_pattern", str, None, "accepted for old command lines", ignored=NO_EFFECT),
    Flag("child_num_cell_layers", int, None, "accepted for old command lines", ignored=NO_EFFECT),
)

CONTROLLER = (
    Flag("controller_training", bool, True, "train the controller; without: a random policy"),
    Flag("controller_train_every", int, 2, "epochs from one controller phase to the next", 1, MANY),
    Flag("controller_train_steps", int, 50, "times num_aggregate: samples in one phase", 1, MANY),
    Flag("controller_num_aggregate", int, 1, "samples to average one update over, if synced",
         1, 1000),
    Flag("controller_sync_replicas", bool, False, "average; else every sample is an update"),
    Flag("controller_warmup_epochs", int, 0, "epochs of the child before the first phase", 0, MANY),
    Flag("child_sampling", SAMPLINGS, POLICY, "who draws what the child is trained on: the "
         "controller's policy, or all alike, so that shared weights favour none"),
    Flag("child_alone_epochs", int, 0, "share no weights: each architecture that the policy draws "
         "is trained alone, from new weights, for so many epochs, and the controller learns from "
         "a linear model of what they came to; 0: shared weights", 0, MANY),
    Flag("controller_reward", REWARDS, "exact_match", "what a sample is worth on the validation "
         "images that it is scored on: exact match, mean average precision, or minus the loss"),
    Flag("controller_reward_bn", ("moving", "batch"), "moving", "BN statistics that it is scored "
         "with: those of the shared weights, or its own on these images"),
    Flag("controller_reward_images", int, None, "validation images that it is scored on; default: "
         "--batch_size", 1, 65_536),
    Flag("controller_reward_scale", float, 1.0, "factor of the reward; Adam's epsilon of 1e-3 "
         "hides differences that are small", TINY, LARGE),
    Flag("controller_baseline", BASELINES, MOVING, "what a reward is compared with: the mean "
         "of all so far, moving, or that of the others in its update"),
    Flag("controller_lr", float, 1e-3, "learning rate of Adam", TINY, LARGE),
    Flag("controller_l2_reg", float, 0.0, "weight of the sum of squared weights", 0, LARGE),
    Flag("controller_bl_dec", float, 0.99, "decay of the moving baseline", 0, 1 - TINY),
    Flag("controller_tanh_constant", float, None, "logits become c * tanh(logits)", TINY, LARGE),
    Flag("controller_temperature", float, None, "divides the logits", TINY, LARGE),
    Flag("controller_entropy_weight", float, None, "of the entropy in the reward", 0, LARGE),
    Flag("controller_skip_target", float, 0.8, "wanted probability of a skip", TINY, 1 - TINY),
    Flag("controller_skip_weight", float, 0.0, "of the distance from that target", 0, LARGE),
    Flag("controller_search_whole_channels", bool, False, "must be true"),
    Flag("controller_use_critic", bool, False, "not offered"),
    Flag("controller_num_replicas", int, 1, "workers that score its samples: those of the cluster",
         1, MOST_WORKERS),
    Flag("controller_op_tanh_reduce", float, 1.0, "divides the tanh constant where an operation is "
         "chosen", TINY, LARGE, only_for=MICRO),
    Flag("controller_lr_dec_rate", float, 1.0, "accepted for old command lines", ignored=NO_EFFECT),
    Flag("controller_keep_prob", float, 0.5, "accepted for old command lines", ignored=NO_EFFECT),
    Flag("controller_forwards_limit", int, 2, "accepted for old command lines", ignored=NO_EFFECT),
)

CLUSTER = (
    Flag("job_name", ("ps", "worker"), None, "what this process is; without it TF_CONFIG says so, "
         "or there is no cluster"),
    Flag("task_index", int, None, "its number among the ps or workers; worker 0 is the chief",
         0, MOST_WORKERS),
    Flag("ps_hosts", str, "", "host:port of each parameter server, separated by commas"),
    Flag("worker_hosts", str, "", "host:port of each worker, separated by commas"),
    Flag("cluster_timeout_secs", float, 600.0, "seconds that others are waited for before a "
         "process of a cluster gives up and says for whom", 1e-3, 1e9),
)

GROUPS = {"the run": RUN, "the child": CHILD, "the controller": CONTROLLER,
          "the cluster": CLUSTER}
FLAGS = RUN + CHILD + CONTROLLER + CLUSTER

SHORT = (
    "data_path", "output_dir", "reset_output_dir", "num_epochs", "batch_size", "img_size", "seed",
    "child_num_layers", "child_out_filters", "child_fixed_arc", "child_lr_max",
    "child_keep_prob", "controller_training", "early_stopping_epochs", "cache_dir",
    "checkpoint_secs")

# A resumed run may change these: they say where and how, not what is computed;
# the data themselves are compared with what the checkpoint remembers of them.
MAY_CHANGE = frozenset({"output_dir", "reset_output_dir", "data_path", "cache_dir",
                        "checkpoint_secs", "on_nan", "xla", *(flag.name for flag in CLUSTER)})

DEFAULTS = {flag.name: flag.default for flag in FLAGS}


def parse(argv: Sequence[str]) -> dict[str, Any]:
    """Values by flag name, from the words after the program's name.

    Raises:
        ConfigError: an unknown flag, a value of the wrong type, or words that are no flags.
    """
    return _values(_parsed(argv))


def ignored(argv: Sequence[str]) -> list[str]:
    """A sentence for each flag in `argv` that is accepted but has no effect."""
    parsed = _parsed(argv)
    search_for = parsed["search_for"].value
    return [f"--{flag.name} {why}: ignored"
            for flag in FLAGS if (why := flag.no_effect(search_for)) and parsed[flag.name].present]


def record(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the run directory keeps: the flags that decide what is computed, and where."""
    return {flag.name: values[flag.name] for flag in FLAGS
            if not flag.no_effect(values["search_for"])}


def short_usage() -> str:
    """Help text that fits a screen: the flags most runs set."""
    by_name = {flag.name: flag for flag in FLAGS}
    return "\n".join([
        "Search for architectures, or train one (--child_fixed_arc). The flags most runs set:", "",
        *(f"  --{name:22s} {by_name[name].help} [{by_name[name].default}]" for name in SHORT),
        "", "--helpfull lists all of them, with their own defaults; the presets set more.",
        "example: aerobi search --data_path=CODEBRIM --output_dir=outputs --num_epochs=310"])


def usage() -> str:
    """Help text: all flags by group."""
    lines = ["Search for architectures, or train one (--child_fixed_arc). Flags:"]
    for title, group in GROUPS.items():
        lines += ["", f"{title}:"]
        for flag in group:
            why = flag.no_effect(flag.only_for)
            note = f" ({why})" if why else ""
            lines.append(f"  --{flag.name:33s} {flag.help} [{flag.default}]{note}")
    return "\n".join(lines)


def check_values(values: Mapping[str, Any]) -> None:
    """Refuses values that no command line could have, as a damaged config.json may hold them.

    Raises:
        ConfigError: a value of another type than its flag's, or out of its range.
    """
    for flag in FLAGS:
        value = values[flag.name]
        if value is None and flag.default is None:
            continue
        try:
            _parser(flag).parse(value)
        except (OverflowError, TypeError, ValueError) as error:
            raise ConfigError(f"--{flag.name}={str(value)[:40]}: {error}") from None


def _parsed(argv: Sequence[str]) -> absl_flags.FlagValues:
    values = absl_flags.FlagValues()
    for flag in FLAGS:
        if flag.kind is bool:  # --flag and --noflag
            absl_flags.DEFINE_boolean(flag.name, flag.default, flag.help, flag_values=values)
        else:
            absl_flags.DEFINE(_parser(flag), flag.name, flag.default, flag.help,
                              flag_values=values)
    try:
        rest = values(["AEROBI", *argv])[1:]
    except absl_flags.Error as error:
        raise ConfigError(f"{error} (--help lists the flags)") from None
    if rest:
        raise ConfigError(
            f"{rest[0]!r} is not a flag; write --name=value (--help lists the flags)")
    return values


class _NumberParser(absl_flags.FloatParser):
    """absl's, but that neither nan nor infinity is within any bounds."""

    def is_outside_bounds(self, val: float) -> bool:
        """Whether absl refuses the value: it lies outside the flag's range."""
        return not math.isfinite(val) or super().is_outside_bounds(val)


def _parser(flag: Flag) -> absl_flags.ArgumentParser:
    """absl's parser of a flag, which holds its values to their type and range."""
    if isinstance(flag.kind, tuple):
        return absl_flags.EnumParser(flag.kind)
    if flag.kind not in (int, float):
        return {bool: absl_flags.BooleanParser, str: absl_flags.ArgumentParser}[flag.kind]()
    whole = flag.kind is int
    parser = (absl_flags.IntegerParser if whole else _NumberParser)(flag.low, flag.high)
    parser.syntactic_help = "a whole number" if whole else "a finite number"
    if flag.low is not None:
        positive = flag.low in (1, TINY)
        low = "above 0" if positive else f"at least {flag.low:g}"
        parser.syntactic_help += f" {low}, at most {flag.high}"
    return parser


def _values(parsed: absl_flags.FlagValues) -> dict[str, Any]:
    return {flag.name: parsed[flag.name].value for flag in FLAGS}
