"""What more machines bring: a model of a training step with parameter servers; no TensorFlow.

A synchronous step of k workers with b images each takes

    compute · (1 + spread · z(k)) + max(worker's traffic, servers' traffic) / link + round trips

- Each worker reads all weights and sends a gradient for each, float32, in every step. The search
  child is no exception: what the sampled architecture does not use travels as well, as zeros. BN's
  moving statistics travel too. Nothing is compressed, and computing does not hide it.
- `S` parameter servers share that evenly. Each has a link as fast as a worker's: theirs carries
  k / S times a worker's traffic, and that is what ends the gain.
- Workers' times are normal, `spread` relative to their mean; all wait for the slowest, which is
  z(k) standard deviations above the mean (Blom, 1958).
- Left out: reading images, the evaluation and the reductions in the controller phase, which the
  chief does, and what k times as large a batch does to the accuracy an epoch brings.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

from AEROBI.architecture import ENAS_1, OPERATIONS, SHIPPED, Architecture, reduction_layers
from AEROBI.config import ConfigError
from AEROBI.cost import final_child_cost

USAGE_ERROR = 2
BYTES = 4  # of a float32
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
GIGABITS = (1, 10, 25, 100)
PAYS = 1.5  # times the images a second: what twice the workers must bring
LAYERS = 7  # of the published presets
FINAL_CHILDREN = {"ENAS-1": ENAS_1, "ENAS-2": SHIPPED}


class Size(NamedTuple):
    """What of a child travels in a step, numbers."""

    weights: int  # read once, and a gradient for each
    moving: int  # statistics of BN, read once and written once

    @property
    def bytes_each_way(self) -> int:
        """From the parameter servers to one worker in a step, and as many back."""
        return BYTES * (self.weights + self.moving)


@dataclass(frozen=True)
class Setting:
    """Assumptions: of the machines, and how the run is set up."""

    compute_secs: float  # one worker's step alone
    batch_size: int  # images of one worker
    servers: int = 1
    gigabits: float = 10.0  # a second, of each machine's link, each way
    spread: float = 0.05  # of the workers' times, relative standard deviation
    round_trip_secs: float = 0.5e-3  # three in a step: look, weights, push and token


class Estimate(NamedTuple):
    """One row."""

    workers: int
    step_secs: float
    images_per_sec: float
    efficiency: float  # of k workers, relative to k times one process


def search_child_size(filters: int, branches: int = 6, layers: int = LAYERS,
                      num_classes: int = 6) -> Size:
    """Of the shared weights."""
    weights, channels = 3 * 3 * 3 * filters, filters
    for layer in range(layers):
        for operation in OPERATIONS[:branches]:
            weights, channels = weights + filters * filters, channels + filters
            if operation.is_pooling:
                continue
            area = operation.size ** 2
            weights += ((area + filters) * filters if operation.is_separable else
                        area * filters * filters)
            channels += filters
        channels += filters * bool(layer)
        if layer in reduction_layers(layers):
            weights += (layer + 2) * filters * filters
            channels += (layer + 2) * filters
    # BN has an offset and a scale, and two moving statistics, for each channel.
    return Size(weights + filters * num_classes + 2 * channels, 2 * channels)


def final_child_size(architecture: Architecture, filters: int, num_classes: int = 6) -> Size:
    """Of one final child."""
    weights = final_child_cost(architecture, filters, 64, num_classes).parameters
    channels = filters
    for layer, op in enumerate(architecture.ops):
        channels += 2 * filters * (not OPERATIONS[op].is_pooling)
        channels += filters * bool(layer)
        if layer in reduction_layers(architecture.num_layers):
            filters *= 2
            channels += (layer + 2) * filters
    return Size(weights, 2 * channels)


def slowest(workers: int) -> float:
    """Expected maximum of so many standard normal numbers (Blom, 1958)."""
    if workers == 1:
        return 0.0
    return NormalDist().inv_cdf((workers - 0.375) / (workers + 0.25))


def estimate(size: Size, workers: int, setting: Setting) -> Estimate:
    """A synchronous step of so many workers; one worker is one process, without a server."""
    step = setting.compute_secs
    if workers > 1:
        link = setting.gigabits * 1e9 / 8
        busiest = max(1.0, workers / setting.servers)  # times one worker's traffic
        # Weights travel before the computation, gradients after it: they do not overlap.
        step = (setting.compute_secs * (1 + setting.spread * slowest(workers))
                + 2 * size.bytes_each_way * busiest / link + 3 * setting.round_trip_secs)
    images = workers * setting.batch_size / step
    alone = setting.batch_size / setting.compute_secs
    return Estimate(workers, step, images, images / (workers * alone))


def pays_up_to(size: Size, setting: Setting) -> int:
    """The number of workers whose doubling no longer brings half as many images a second again."""
    for workers in WORKERS[:-1]:
        now, then = (estimate(size, k, setting).images_per_sec for k in (workers, 2 * workers))
        if then < PAYS * now:
            return workers
    return WORKERS[-1]


def advice(size: Size, setting: Setting) -> str:
    """Where parameter servers stop paying, and what to do then."""
    limit = pays_up_to(size, setting)
    per_step = 2 * size.bytes_each_way / (setting.gigabits * 1e9 / 8)
    if limit == WORKERS[-1]:
        return f"parameter servers pay up to {limit} workers, as far as this goes"
    text = f"parameter servers pay up to {limit} workers; then "
    if per_step * limit / setting.servers > setting.spread * setting.compute_secs:
        text += (f"the servers' links are full: more of them (at best {limit} for {limit} "
                 "workers), larger batches for each worker, a faster link; ")
    return text + ("or one training a machine: scripts/cluster/train_best.py for the final ones, "
                   "seeds for searches, which lose nothing to the network")


def table(size: Size, setting: Setting) -> str:
    """Plain text: rows are numbers of workers, columns link speeds; efficiency in percent."""
    lines = ["workers" + "".join(f"{f'{gigabits} Gbit/s':>20s}" for gigabits in GIGABITS)]
    links = [Setting(**{**vars(setting), "gigabits": float(gigabits)}) for gigabits in GIGABITS]
    for workers in WORKERS:
        row = [estimate(size, workers, link) for link in links]
        lines.append(f"{workers:7d}" + "".join(
            f"{cell.images_per_sec:11,.0f}/s {100 * cell.efficiency:4.0f} %" for cell in row))
    lines.append("pays to" + "".join(f"{pays_up_to(size, link):20d}" for link in links))
    return "\n".join(lines)


def report(filters: int, setting: Setting) -> str:
    """Tables of the search child, and of the final children whose architecture is known."""
    sizes = {"search child": search_child_size(filters)}
    for name, text in FINAL_CHILDREN.items():
        sizes[f"final child {name}"] = final_child_size(
            Architecture.parse(text, LAYERS), filters)
    lines = [
        f"{filters} filters, {setting.batch_size} images a worker, {setting.servers} parameter "
        f"servers; one worker computes a step in {1000 * setting.compute_secs:g} ms, spread "
        f"{100 * setting.spread:g} %; {1000 * setting.round_trip_secs:g} ms a round trip", "",
        "what travels in a step, to each worker and back:"]
    lines += [f"  {name:22s} {size.weights:10,d} weights {size.bytes_each_way / 1e6:8.2f} MB each "
              "way" for name, size in sizes.items()]
    for name, size in sizes.items():
        lines += ["", f"{name}: images a second, and share of k times one process", table(
            size, setting), f"{setting.gigabits:g} Gbit/s: {advice(size, setting)}."]
    return "\n".join(lines) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = _parser().parse_args(argv)
    if options.measure:
        from scaling_measure import measure

        try:
            sys.stdout.write(measure())
        except (ConfigError, OSError) as error:
            sys.stderr.write(f"Error: {error}\n")
            return USAGE_ERROR
        return 0
    setting = Setting(options.step_ms / 1000, options.batch_size, options.servers,
                      options.gigabits, options.spread, options.round_trip_ms / 1000)
    sys.stdout.write(report(options.filters, setting))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scaling", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: scripts/studies/scaling.py --step_ms=120 --servers=4")
    parser.add_argument("--measure", action="store_true",
                        help="measure one process, and 1 and 2 workers on loopback, instead")
    parser.add_argument("--step_ms", type=_number, default=150.0,
                        help="one worker's step alone; measure yours (150)")
    parser.add_argument("--batch_size", type=_count, default=16, help="images a worker (16)")
    parser.add_argument("--filters", type=_count, default=64, help="of the stem (64)")
    parser.add_argument("--servers", type=_count, default=1, help="parameter servers (1)")
    parser.add_argument("--gigabits", type=_number, default=10.0, help="a second, a link (10)")
    parser.add_argument("--spread", type=_number, default=0.05, help="of workers' times (0.05)")
    parser.add_argument("--round_trip_ms", type=_number, default=0.5, help="on the network (0.5)")
    return parser


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
