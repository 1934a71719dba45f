"""The command `aerobi`: its words, its help, its presets."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
import tiny_run

from AEROBI import cli
from AEROBI.flags import presets, resolve, table

SCRIPTS = pathlib.Path(__file__).parents[1] / "scripts"


def run(*words: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "AEROBI.cli", *words], text=True, timeout=120,
                          capture_output=True, env=tiny_run.environment(), check=False)


@pytest.mark.parametrize("word", cli.COMMANDS)
def test_help_fits_a_screen_and_shows_an_example(word):
    done = run(word, "--help")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) <= 50 and "example" in done.stdout.lower()


def test_all_commands_are_listed_and_an_unknown_one_is_refused():
    assert all(f"  {word} " in run().stdout for word in cli.COMMANDS)
    done = run("serach")
    assert done.returncode == 2 and "'serach'" in done.stderr and "search" in done.stderr
    assert re.fullmatch(r"aerobi \d+\.\d+\.\d+\n", run("--version").stdout)


@pytest.mark.parametrize("script, kind, preset", [
    ("AEROBI_macro_search.sh", "search", presets.PUBLISHED_SEARCH),
    ("AEROBI_macro_final.sh", "final", presets.PUBLISHED_FINAL),
    ("AEROBI_micro_search.sh", "search", presets.MICRO_SEARCH),
    ("AEROBI_micro_final.sh", "final", presets.MICRO_FINAL)])
def test_presets_are_those_of_the_published_scripts(script, kind, preset, tmp_path):
    """The scripts say nothing but the preset's name, and that they begin anew."""
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@" "$PYTHONPATH"\n')
    python.chmod(0o755)
    done = subprocess.run([SCRIPTS / script, "--data_path=a b"], capture_output=True, text=True,
                          check=True, env={**os.environ, "PYTHON": str(python)})
    *called, path = done.stdout.splitlines()
    assert called[:2] == ["-m", "AEROBI.cli"] and path.split(":")[0].endswith("/src")
    assert cli.COMMANDS[called[2]] == cli.Command("main", cli.COMMANDS[called[2]].help, kind)
    space = ["--search_for=micro"] * ("micro" in script)
    assert called[3:] == ["--recipe=published", *space, "--reset_output_dir", "--data_path=a b"]
    resolve.check(table.parse([*preset, "--data_path=d"]))
    assert presets.words(kind, called[3:]) == [*preset, *called[4:]]
    assert table.parse(preset)["reset_output_dir"] is False  # nothing is removed unasked


def test_the_learning_rate_comes_down_once_over_all_epochs():
    for kind, given in (("search", ["--recipe=shared", "--num_epochs=7"]),
                        ("final", ["--num_epochs", "9"])):
        values = table.parse(presets.words(kind, given))
        assert values["child_lr_T_0"] == values["num_epochs"] == int(given[-1][-1])
    values = table.parse(presets.words("final", ["--num_epochs=9", "--child_lr_T_0=3"]))
    assert values["child_lr_T_0"] == 3
    assert table.parse(presets.words("search", ["--recipe=tuned"]))["child_network"] == "final"


def test_an_unknown_recipe_is_refused():
    done = run("search", "--recipe=secret", "--data_path=d")
    assert done.returncode == 2 and "--recipe=secret" in done.stderr and "tuned" in done.stderr


def test_a_word_passes_its_arguments_on(tmp_path):
    done = run("sample-data", "--output", str(tmp_path / "data"), "--train", "2", "--val", "1",
               "--test", "1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data/metadata/defects.xml").exists()
    packed = run("pack", str(tmp_path / "data"), "--img_size", "16", "--cache_dir",
                 str(tmp_path / "cache"))
    assert packed.returncode == 0, packed.stderr
    assert "train" in packed.stdout and len(list((tmp_path / "cache").glob("*.h5"))) == 1
    refused = run("search", "--data_path=/no/such", f"--output_dir={tmp_path / 'run'}")
    assert refused.returncode == 2 and "/no/such" in refused.stdout
    assert not (tmp_path / "run").exists()


def test_what_takes_time_is_imported_where_ctrl_c_is_one_line():
    code = "import AEROBI.cli, sys; print({'numpy', 'tqdm', 'argparse'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], env=tiny_run.environment(), text=True,
                          capture_output=True, timeout=60, check=False)
    assert done.stdout == "set()\n", done.stderr
