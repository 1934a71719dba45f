"""The last lines of the quickstart."""

import pathlib
import re
import subprocess
import sys

import tiny_run

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts/quickstart_summary.py"


def test_the_chosen_network_beside_random_ones(tiny_final):
    """Which are the same network here; nothing of TensorFlow's own on stderr."""
    done = subprocess.run([sys.executable, str(SCRIPT), str(tiny_final), *[str(tiny_final)] * 3],
                          capture_output=True, text=True, env=tiny_run.environment(), check=False)
    assert (done.returncode, done.stderr) == (0, "")
    heading, chosen, median, others = done.stdout.splitlines()
    assert heading.startswith("== Summary: test exact match")
    value, parameters = re.match(
        r"chosen +(0\.\d{3}) \[0\.\d{3}, 0\.\d{3}\] +([\d,]+) parameters   3 5 1 0 1 1$",
        chosen).groups()
    assert median.startswith(f"random median {value} ") and f"{parameters} parameters" in median
    assert others == f"all 3 random ones: {value}, {value}, {value}"
