#!/usr/bin/env python3
"""Does training in a narrow type cost accuracy?

The same final training for several seeds, each once in float32 and once in the narrow type: data,
first weights, batches and dropout masks of a pair are the same. Printed is the mean exact match on
test after the last epoch of both, and of the difference its mean and standard error over the
seeds. Started again, the study goes on where it was.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys

import numpy as np

from AEROBI.config import PRECISIONS
from AEROBI.records.run_records import read_run
from AEROBI.sample_data.generate import SampleSizes, generate

ARCHITECTURE = "0 1 1 2 0 1 3 1 0 1"  # four layers, a convolution of each kind
SIZES = SampleSizes(train=240, val=60, test=240)


def train(data: pathlib.Path, options: argparse.Namespace, seed: int, precision: str) -> float:
    """The exact match on test after the last epoch of one training."""
    run_dir = options.output_dir / f"{precision}_{seed}"
    flags = {
        "data_path": data, "cache_dir": options.output_dir / "cache", "output_dir": run_dir,
        "img_size": options.img_size, "batch_size": 16, "num_epochs": options.epochs,
        "eval_every_epochs": options.epochs, "seed": seed, "precision": precision,
        "child_num_layers": 4, "child_out_filters": options.filters,
        "child_fixed_arc": ARCHITECTURE, "child_lr_cosine": True, "child_lr_max": 0.03,
        "child_lr_min": 1e-5, "child_lr_T_0": options.epochs, "child_lr_T_mul": 2,
        "controller_search_whole_channels": True}
    command = [sys.executable, "-m", "AEROBI.main", *(f"--{k}={v}" for k, v in flags.items())]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return read_run(run_dir).of_split("test")[-1]["exact_match"]


def main() -> int:
    """Prints the comparison; keeps everything below --output_dir."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output_dir", type=pathlib.Path, required=True)
    parser.add_argument("--data_path", type=pathlib.Path, help="default: the embedded sample data")
    parser.add_argument("--precision", choices=PRECISIONS[1:], default="bfloat16")
    parser.add_argument("--seeds", type=int, default=5, help="at least 2")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--img_size", type=int, default=32, metavar="PIXELS")
    parser.add_argument("--filters", type=int, default=8)
    options = parser.parse_args()
    data = options.data_path or options.output_dir / "data"
    if not data.exists():
        generate(data, SIZES, seed=0)
    narrow = options.precision
    exact = {precision: np.array([train(data, options, seed, precision)
                                  for seed in range(options.seeds)])
             for precision in ("float32", narrow)}
    (options.output_dir / "study.json").write_text(
        json.dumps({precision: values.tolist() for precision, values in exact.items()}))
    difference = exact[narrow] - exact["float32"]
    error = difference.std(ddof=1) / math.sqrt(options.seeds)
    for precision, values in exact.items():
        sys.stdout.write(f"{precision:9s} exact match on test {values.mean():.4f}, "
                         f"of {options.seeds} seeds {values.min():.4f} to {values.max():.4f}\n")
    sys.stdout.write(f"difference {difference.mean():+.4f}, standard error {error:.4f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
