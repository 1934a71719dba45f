#!/usr/bin/env python3
"""Does it matter to a final training that the published code scales without antialiasing?

One architecture is trained with images scaled by either rule (quirk `aliased_scaling`), with the
same seeds. Of each run, the best validation exact match and the test exact match there are printed.
Started again, the study goes on where it was.
"""

import argparse
import pathlib
import subprocess
import sys

import numpy as np

from AEROBI.records.run_records import read_run

ARCHITECTURE = "5 5 1 0 1 1 5 1 0 0 4 0 1 0 1 3 0 0 0 1 0 1 1 0 0 1 1 0"  # ENAS-1
RULES = {"antialiased": "", "aliased": "aliased_scaling"}  # name → quirks


def trained(data_path: str, options: argparse.Namespace, rule: str, seed: int
            ) -> tuple[float, float]:
    """Best validation exact match of a run, and the test exact match there."""
    run_dir = options.output_dir / f"{rule}_{seed}"
    flags = {
        "data_path": data_path, "cache_dir": options.output_dir / "cache",
        "output_dir": run_dir, "img_size": options.img_size, "seed": seed, "batch_size": 16,
        "num_epochs": options.epochs, "reference_quirks": RULES[rule], "child_num_layers": 7,
        "child_out_filters": options.filters, "child_num_branches": 6,
        "child_fixed_arc": ARCHITECTURE, "child_keep_prob": 0.9, "child_l2_reg": 0.0005,
        "child_lr_cosine": True, "child_lr_max": 0.03, "child_lr_min": 1e-5,
        "child_lr_T_0": options.epochs, "child_lr_T_mul": 2,
        "controller_search_whole_channels": True, "controller_training": False}
    command = [sys.executable, "-m", "AEROBI.main", *(f"--{k}={v}" for k, v in flags.items())]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    _, val, test = read_run(run_dir).best_evaluation()
    return val, test


def main() -> int:
    """Prints a line for each run and each rule; keeps everything below --output_dir."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_path")
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--img_size", type=int, default=40)
    parser.add_argument("--filters", type=int, default=12)
    options = parser.parse_args()
    found = {rule: [] for rule in RULES}
    for seed in range(options.seeds):
        for rule, values in found.items():
            values.append(trained(options.data_path, options, rule, seed))
            sys.stdout.write(f"seed {seed}  {rule:12s} val {values[-1][0]:.4f}  "
                             f"test {values[-1][1]:.4f}\n")
            sys.stdout.flush()
    for rule, values in found.items():
        (val, test), (val_spread, test_spread) = np.mean(values, 0), np.std(values, 0, ddof=1)
        sys.stdout.write(f"{rule:12s} val {val:.4f} ({val_spread:.4f})  "
                         f"test {test:.4f} ({test_spread:.4f})\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
