"""The command line: old ones work, impossible ones are refused before any work."""

import ast
import pathlib

import pytest

from AEROBI.config import QUIRKS, ConfigError
from AEROBI.data_utils import CLASS_NAMES
from AEROBI.flags import presets, resolve, table

SOURCE = pathlib.Path(table.__file__).parents[1]
NEEDED = ["--data_path=d", "--output_dir=o", "--controller_search_whole_channels"]
COSINE = ["--child_lr_cosine", "--child_lr_max=0.01", "--child_lr_min=1e-5", "--child_lr_T_0=10",
          "--child_lr_T_mul=2"]


def config_of(*words: str):
    return resolve.resolve(table.parse([*NEEDED, *words]), CLASS_NAMES, "NHWC")


def test_defaults_are_those_of_the_published_code():
    config = config_of()
    assert (config.data.batch_size, config.num_epochs, config.log_every) == (32, 300, 50)
    assert (config.child.num_layers, config.child.out_filters, config.child.keep_prob) == (
        5, 48, 0.5)
    assert (config.train.l2_reg, config.train.grad_bound, config.train.lr) == (1e-4, 5.0, 0.1)
    assert (config.controller.train_steps, config.controller.bl_dec) == (50, 0.99)
    assert config.controller.samples_per_update == 1


def test_presets_resolve_to_the_published_values():
    found = {name: resolve.resolve(table.parse([*words, "--data_path=d"]), CLASS_NAMES, "NHWC")
             for name, words in (("search", presets.PUBLISHED_SEARCH),
                                 ("final", presets.PUBLISHED_FINAL))}
    for config in found.values():
        assert config.data.batch_size == 16
        assert (config.child.num_layers, config.child.out_filters) == (7, 64)
        assert (config.train.lr_max, config.train.lr_min, config.train.lr_T_0) == (0.01, 1e-5, 10)
        assert config.train.l2_reg == 5e-4
        assert config.controller.samples_per_update == 20
        assert config.controller.updates_per_phase == 40
        assert (config.controller.skip_target, config.controller.skip_weight) == (0.4, 0.8)
    assert (found["search"].num_epochs, found["search"].child.fixed_arc) == (310, None)
    assert found["search"].controller.training
    assert found["final"].num_epochs == 150
    assert found["final"].child.fixed_arc[:3] == (0, 5, 0)
    assert not found["final"].controller.training


def test_every_flag_that_has_an_effect_is_read():
    """By name, somewhere outside the table."""
    text = "".join(path.read_text() for path in SOURCE.rglob("*.py") if path.name != "table.py")
    strings = {node.value for node in ast.walk(ast.parse(text))
               if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    assert not {flag.name for flag in table.FLAGS if not flag.ignored} - strings
    assert not {flag.name for flag in table.FLAGS if flag.ignored} & strings


def test_every_flag_has_help():
    assert all(flag.help for flag in table.FLAGS)
    assert all(f"--{flag.name} " in table.usage() for flag in table.FLAGS)


def test_ignored_flags_are_named_once():
    notes = table.ignored(["--child_filter_size=3", "--child_filter_size=5", "--batch_size=2",
                           "--child_use_aux_heads"])
    assert len(notes) == 2
    assert any("--child_filter_size" in note for note in notes)
    assert any("--child_use_aux_heads" in note and "micro" in note for note in notes)


def test_flags_of_cells_take_effect_where_cells_are_searched():
    words = ["--child_num_cells=3", "--child_drop_path_keep_prob=0.6", "--child_use_aux_heads",
             "--controller_op_tanh_reduce=2.5"]
    names = {word.strip("-").partition("=")[0] for word in words}
    assert len(table.ignored(words)) == 4
    assert not table.ignored([*words, "--search_for=micro"])
    assert not names & table.record(table.parse(words)).keys()
    assert names < table.record(table.parse([*words, "--search_for=micro"])).keys()
    config = config_of(*words, "--search_for=micro")
    assert (config.child.num_cells, config.controller.num_cells) == (3, 3)
    assert (config.child.drop_path_keep_prob, config.child.use_aux_heads) == (0.6, True)
    assert config.controller.op_tanh_reduce == 2.5 and config.child.built_as == "final"
    fixed = config_of(*words, "--search_for=micro", "--child_fixed_arc=" + "0 4 1 4 " * 6)
    assert fixed.child.fixed_arc == (0, 4, 1, 4) * 6


@pytest.mark.parametrize("words, expected", [
    (["--nocontroller_training"], False), (["--controller_training=false"], False),
    (["--controller_training"], True), (["--controller_training=True"], True)])
def test_boolean_forms(words, expected):
    assert config_of(*words).controller.training is expected


def test_quirks():
    config = config_of("--reference_quirks=all")
    assert config.child.late_binding and config.child.dense_separable
    assert config.train.no_clipping and config.train.restart_step and config.data.random_eval
    assert config.data.aliased_scaling
    config = config_of("--reference_quirks=no_clipping, restart_step")
    assert config.train.no_clipping and config.train.restart_step and not config.child.late_binding
    assert len(QUIRKS) == 6


def test_the_configuration_is_whole():
    """Nothing of it is left to be filled in: classes and data format are those of data and GPU."""
    values = table.parse(NEEDED)
    config = resolve.resolve(values, ["a", "b"], "NCHW")
    assert (config.child.num_classes, config.child.data_format) == (2, "NCHW")
    assert config.is_search and config.child.is_search
    chosen = resolve.resolve({**values, "data_format": "NHWC"}, ["a"], "NCHW")
    assert chosen.child.data_format == "NHWC"


def test_an_architecture_is_checked_once_and_is_itself_afterwards(tmp_path):
    (tmp_path / "arc.txt").write_text("3 5 1 0 1 1")
    values = resolve.check(table.parse([
        *NEEDED, "--child_num_layers=3", f"--child_fixed_arc={tmp_path / 'arc.txt'}"]))
    assert values["child_fixed_arc"] == "3 5 1 0 1 1" and resolve.check(values) == values
    assert not resolve.resolve(values, ["a"], "NHWC").is_search


def test_every_number_has_a_range_and_its_default_lies_in_it():
    for flag in table.FLAGS:
        if flag.kind in (int, float) and not flag.ignored:
            assert flag.low is not None and flag.high is not None, flag.name
            assert flag.default is None or flag.low <= flag.default <= flag.high, flag.name


@pytest.mark.parametrize("flag", [flag for flag in table.FLAGS if flag.high is not None],
                         ids=lambda flag: flag.name)
def test_numbers_far_out_of_range_are_refused(flag):
    beyond = [flag.low - 1, 10 * flag.high, 10**20 * flag.high]
    if flag.kind is float:
        beyond += ["nan", "inf", "-inf", "1e999"]
    for value in beyond:
        with pytest.raises(ConfigError, match=flag.name):
            table.parse([f"--{flag.name}={value}"])
    with pytest.raises(ConfigError, match=flag.name):  # as a damaged config.json has it
        resolve.check({**table.parse(NEEDED), flag.name: 10 * flag.high})


def test_precision():
    assert config_of().child.precision == "float32" and not config_of().xla
    config = config_of("--precision=bfloat16", "--xla", "--data_format=NCHW")
    assert (config.child.precision, config.child.data_format, config.xla) == (
        "bfloat16", "NCHW", True)
    with pytest.raises(ConfigError, match="--precision=int8"):  # as a damaged config.json has it
        resolve.check({**table.parse(NEEDED), "precision": "int8"})


def test_search_for():
    assert config_of().controller.search_for == "macro"
    assert config_of("--search_for=branch").controller.operations_drawn == 4
    connection = config_of("--search_for=connection")
    assert connection.controller.operations_drawn == 1 and connection.child.num_branches == 4


def test_the_scale_of_filters_is_for_both_children():
    words = ["--child_num_layers=3", "--child_out_filters=8", "--child_out_filters_scale=3"]
    assert config_of(*words).child.out_filters == 24
    assert config_of(*words, "--child_fixed_arc=3 5 1 0 1 1").child.out_filters == 24


@pytest.mark.parametrize("words, parts", [
    (["--no_such_flag=1"], ["no_such_flag"]),
    (["--batch_size=many"], ["batch_size", "many"]),
    (["surplus"], ["surplus", "--name=value"]),
    (["--batch_size=0"], ["--batch_size=0", "above 0"]),
    (["--num_epochs=-1"], ["--num_epochs=-1"]),
    (["--seed=-1"], ["--seed=-1"]),
    (["--seed=2147483648"], ["--seed"]),
    (["--child_keep_prob=0"], ["--child_keep_prob"]),
    (["--child_keep_prob=1e-45"], ["--child_keep_prob", "at least 0.01"]),
    (["--child_keep_prob=nan"], ["--child_keep_prob", "finite"]),
    (["--child_l2_reg=inf"], ["--child_l2_reg", "finite"]),
    (["--child_num_branches=7"], ["--child_num_branches=7", "6"]),
    (["--child_out_filters=7"], ["--child_out_filters=7", "even"]),
    (["--child_lr_cosine"], ["--child_lr_cosine", "--child_lr_max"]),
    ([*COSINE, "--child_lr_min=1"], ["--child_lr_min", "--child_lr_max"]),
    (["--child_fixed_arc=0 1"], ["--child_fixed_arc", "--child_num_layers=5", "layer 1"]),
    (["--img_size=7"], ["--img_size=7", "8"]),
    (["--child_cutout_size=300"], ["--child_cutout_size=300", "224"]),
    (["--nocontroller_search_whole_channels"], ["--controller_search_whole_channels"]),
    (["--controller_use_critic"], ["--controller_use_critic"]),
    (["--controller_num_replicas=0"], ["--controller_num_replicas=0"]),
    (["--cluster_timeout_secs=0"], ["--cluster_timeout_secs"]),
    (["--controller_skip_target=0"], ["--controller_skip_target"]),
    (["--controller_bl_dec=1"], ["--controller_bl_dec"]),
    (["--child_lr_dec_rate=0"], ["--child_lr_dec_rate"]),
    (["--reference_quirks=late"], ["--reference_quirks", "late_binding"]),
    (["--search_for=nano"], ["search_for", "macro", "micro"]),
    (["--search_for=micro", "--child_num_layers=2"], ["--child_num_layers=2", "3 groups"]),
    (["--search_for=micro", "--child_num_branches=6"], ["--child_num_branches=6", "5 operations"]),
    (["--search_for=micro", "--child_network=search"], ["--child_network=search"]),
    (["--search_for=micro", "--reference_quirks=late_binding"], ["late_binding", "micro"]),
    (["--search_for=micro", "--child_num_cells=1", "--child_fixed_arc=0 1 0 1 0 1 2 1"],
     ["--child_fixed_arc", "--child_num_cells=1", "reduction cell, node 0"]),
    (["--search_for=micro", "--child_drop_path_keep_prob=0"], ["--child_drop_path_keep_prob"]),
    (["--data_format=NHCW"], ["data_format", "NHWC"]),
    (["--precision=int8"], ["--precision=int8", "float32", "bfloat16", "float16"]),
    (["--data_path="], ["--data_path"]),
    (["--output_dir= "], ["--output_dir"]),
])
def test_what_cannot_run_is_refused(words, parts):
    with pytest.raises(ConfigError) as error:
        config_of(*words)
    assert all(part in str(error.value) for part in parts), error.value
