"""The command line: every flag of the published code and a few of our own.

One table names each flag with its type, default, help and group. Parsing is absl's, as in the
published code, so that `--flag`, `--noflag`, `--flag=value` and `--flag value` all work.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from absl import flags as absl_flags

from AEROBI.config import PRECISIONS, QUIRKS, SKIP, STOP, ConfigError


class Flag(NamedTuple):
    """One row of the table."""

    name: str
    kind: type | tuple[str, ...]  # a tuple lists the values allowed
    default: Any
    help: str
    ignored: str = ""  # why the flag has no effect


NO_EFFECT = "has no effect"
MICRO = "belongs to the micro search space, which is not offered"

RUN = (
    Flag("data_path", str, "", "folder of the data set, or its CSV file; required"),
    Flag("output_dir", str, "", "folder the run writes into, and is resumed from; required"),
    Flag("reset_output_dir", bool, False, "remove output_dir first, if it is a run's"),
    Flag("num_epochs", int, 300, "passes over the training split"),
    Flag("batch_size", int, 32, "images a batch"),
    Flag("log_every", int, 50, "steps from one log line to the next"),
    Flag("eval_every_epochs", int, 1, "epochs from one evaluation of val and test to the next"),
    Flag("search_for", ("macro",), None, "the search space; only macro is offered"),
    Flag("data_format", ("auto", "NHWC", "NCHW"), "auto", "auto: NCHW on a GPU, NHWC on a CPU"),
    Flag("precision", PRECISIONS, "float32", "of feature maps; weights and updates stay float32. "
         "float16: gradients too large for it are infinite, and with --on_nan=skip only their "
         "updates are left out"),
    Flag("xla", bool, False, "compile operations; for a GPU: on a CPU it is slower, and every "
         "operation that is sampled for the first time takes seconds"),
    Flag("img_size", int, 224, "side of a patch in pixels"),
    Flag("seed", int, 0, "of everything random"),
    Flag("deterministic", bool, False, "the same bits in every run on the same machine"),
    Flag("reference_quirks", str, "", f"faults of the published code to repeat: all, or a "
         f"comma-separated list of {', '.join(QUIRKS)}"),
    Flag("cache_dir", str, "", "folder of the packed images; default ~/.cache/aerobi"),
    Flag("checkpoint_secs", float, 300.0, "seconds from one checkpoint to the next"),
    Flag("on_nan", (STOP, SKIP), STOP, "a loss or gradient that is nan or infinite ends the run, "
         "or that one update is left out"),
)

CHILD = (
    Flag("child_num_layers", int, 5, "layers of the child"),
    Flag("child_out_filters", int, 48, "filters of the stem"),
    Flag("child_out_filters_scale", int, 1, "the child has so many times --child_out_filters"),
    Flag("child_num_branches", int, 4, "operations to choose from, 1 to 6"),
    Flag("child_keep_prob", float, 0.5, "share of features that dropout keeps"),
    Flag("child_fixed_arc", str, None, "train this architecture instead of searching: its string, "
         "a file, or FOLDER#3, FOLDER#best of a search's architectures.json"),
    Flag("child_network", ("final", "search"), "final", "build it as the published final child, "
         "or as the path through the search child"),
    Flag("init_from", str, "", "begin with the shared weights of the search in this folder "
         "(child_network=search)"),
    Flag("early_stopping_epochs", int, 0, "end a final training when validation has not become "
         "better for so many epochs; 0: never"),
    Flag("child_cutout_size", int, None, "side in pixels of Cutout on training patches"),
    Flag("child_l2_reg", float, 1e-4, "weight of the sum of squared weights"),
    Flag("child_grad_bound", float, 5.0, "largest norm of the gradient of one tensor"),
    Flag("child_lr", float, 0.1, "first learning rate, without child_lr_cosine"),
    Flag("child_lr_dec_rate", float, 0.1, "its factor, every child_lr_dec_every epochs"),
    Flag("child_lr_dec_every", int, 100, "epochs from one reduction to the next"),
    Flag("child_lr_cosine", bool, False, "cosine schedule with warm restarts"),
    Flag("child_lr_max", float, None, "its largest learning rate"),
    Flag("child_lr_min", float, None, "its smallest learning rate"),
    Flag("child_lr_T_0", int, None, "epochs to the first restart"),
    Flag("child_lr_T_mul", int, None, "factor from one restart's epochs to the next's"),
    Flag("child_num_replicas", int, 1, "workers that train the child: those of the cluster"),
    Flag("child_sync_replicas", bool, False, "average the workers' gradients into one update; "
         "without: each is an update, asynchronously"),
    Flag("child_num_aggregate", int, None, "gradients to average, the first that come; default: "
         "of all workers"),
    Flag("child_num_cells", int, 5, "cells", MICRO),
    Flag("child_drop_path_keep_prob", float, 1.0, "share of paths kept", MICRO),
    Flag("child_use_aux_heads", bool, False, "auxiliary heads", MICRO),
    Flag("child_filter_size", int, 5, "accepted for old command lines", NO_EFFECT),
    Flag("child_block_size", int, 3, "accepted for old command lines", NO_EFFECT),
    Flag("child_skip_pattern", str, None, "accepted for old command lines", NO_EFFECT),
    Flag("child_num_cell_layers", int, None, "accepted for old command lines", NO_EFFECT),
)

CONTROLLER = (
    Flag("controller_training", bool, True, "train the controller; without: a random policy"),
    Flag("controller_train_every", int, 2, "epochs from one controller phase to the next"),
    Flag("controller_train_steps", int, 50, "times num_aggregate: samples in one phase"),
    Flag("controller_num_aggregate", int, 1, "samples to average one update over, if synced"),
    Flag("controller_sync_replicas", bool, False, "average; else every sample is an update"),
    Flag("controller_lr", float, 1e-3, "learning rate of Adam"),
    Flag("controller_l2_reg", float, 0.0, "weight of the sum of squared weights"),
    Flag("controller_bl_dec", float, 0.99, "decay of the moving baseline"),
    Flag("controller_tanh_constant", float, None, "logits become c * tanh(logits)"),
    Flag("controller_temperature", float, None, "divides the logits"),
    Flag("controller_entropy_weight", float, None, "of the entropy in the reward"),
    Flag("controller_skip_target", float, 0.8, "wanted probability of a skip"),
    Flag("controller_skip_weight", float, 0.0, "of the distance from that target"),
    Flag("controller_search_whole_channels", bool, False, "must be true"),
    Flag("controller_use_critic", bool, False, "not offered"),
    Flag("controller_num_replicas", int, 1, "workers that score its samples: those of the cluster"),
    Flag("controller_op_tanh_reduce", float, 1.0, "divides the tanh constant", MICRO),
    Flag("controller_lr_dec_rate", float, 1.0, "accepted for old command lines", NO_EFFECT),
    Flag("controller_keep_prob", float, 0.5, "accepted for old command lines", NO_EFFECT),
    Flag("controller_forwards_limit", int, 2, "accepted for old command lines", NO_EFFECT),
)

CLUSTER = (
    Flag("job_name", ("ps", "worker"), None, "what this process is; without it TF_CONFIG says so, "
         "or there is no cluster"),
    Flag("task_index", int, None, "its number among the ps or workers; worker 0 is the chief"),
    Flag("ps_hosts", str, "", "host:port of each parameter server, separated by commas"),
    Flag("worker_hosts", str, "", "host:port of each worker, separated by commas"),
    Flag("cluster_timeout_secs", float, 600.0, "seconds that others are waited for before a "
         "process of a cluster gives up and says for whom"),
)

GROUPS = {"the run": RUN, "the child": CHILD, "the controller": CONTROLLER,
          "the cluster": CLUSTER}
FLAGS = RUN + CHILD + CONTROLLER + CLUSTER

SHORT = (
    "data_path", "output_dir", "reset_output_dir", "num_epochs", "batch_size", "img_size", "seed",
    "child_num_layers", "child_out_filters", "child_fixed_arc", "child_lr_max",
    "child_keep_prob", "controller_training", "early_stopping_epochs", "cache_dir",
    "checkpoint_secs")

# A resumed run may change these: they say where and how, not what is computed.
MAY_CHANGE = frozenset({"output_dir", "reset_output_dir", "cache_dir", "checkpoint_secs", "on_nan",
                        "xla", *(flag.name for flag in CLUSTER)})

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
    return [f"--{flag.name} {flag.ignored}: ignored"
            for flag in FLAGS if flag.ignored and parsed[flag.name].present]


def record(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the run directory keeps: the flags that decide what is computed, and where."""
    return {flag.name: values[flag.name] for flag in FLAGS if not flag.ignored}


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
            note = f" ({flag.ignored})" if flag.ignored else ""
            lines.append(f"  --{flag.name:33s} {flag.help} [{flag.default}]{note}")
    return "\n".join(lines)


def _parsed(argv: Sequence[str]) -> absl_flags.FlagValues:
    values = absl_flags.FlagValues()
    define = {int: absl_flags.DEFINE_integer, float: absl_flags.DEFINE_float,
              str: absl_flags.DEFINE_string, bool: absl_flags.DEFINE_boolean}
    for flag in FLAGS:
        if isinstance(flag.kind, tuple):
            absl_flags.DEFINE_enum(flag.name, flag.default, flag.kind, flag.help,
                                   flag_values=values)
        else:
            define[flag.kind](flag.name, flag.default, flag.help, flag_values=values)
    try:
        rest = values(["AEROBI", *argv])[1:]
    except absl_flags.Error as error:
        raise ConfigError(f"{error} (--help lists the flags)") from None
    if rest:
        raise ConfigError(
            f"{rest[0]!r} is not a flag; write --name=value (--help lists the flags)")
    return values


def _values(parsed: absl_flags.FlagValues) -> dict[str, Any]:
    return {flag.name: parsed[flag.name].value for flag in FLAGS}
