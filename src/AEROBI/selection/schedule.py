"""Successive halving as numbers: who is trained for how long (Jamieson and Talwalkar, 2016)."""

import math
from dataclasses import dataclass

from AEROBI.config import ConfigError


@dataclass(frozen=True)
class Schedule:
    """Rungs: all candidates are trained to the first one, the best of them to the next, ...

    A training that goes on is the same training: the learning rate follows the epochs of the
    whole one from the start.
    """

    rungs: tuple[int, ...]  # epochs after which each ends, ascending
    eta: int  # one of so many goes on

    def entrants(self, candidates: int) -> list[int]:
        """How many are trained in each rung."""
        counts = [candidates]
        for _ in self.rungs[1:]:
            counts.append(-(-counts[-1] // self.eta))
        return counts

    def epochs(self, candidates: int) -> int:
        """Epochs of training in all."""
        lengths = [end - start for start, end in zip((0, *self.rungs), self.rungs)]
        return sum(count * length for count, length in zip(self.entrants(candidates), lengths))


def make_schedule(candidates: int, num_epochs: int, eta: int, rungs: tuple[int, ...] | None,
                  eval_every: int) -> Schedule:
    """The schedule that was asked for, or one that ends with few fully trained.

    By default the last rung is the whole training and each one before it has 1 / eta of the
    epochs, until one of all candidates is left; every rung but the last ends with an evaluation.

    Args:
        candidates: how many begin.
        num_epochs: of a whole training.
        eta: one of so many goes on from each rung.
        rungs: epochs after which each ends; None: the default.
        eval_every: epochs from one evaluation of a training to the next.

    Raises:
        ConfigError: rungs that cannot be; the message names the flag.
    """
    if rungs is not None:
        _check(rungs, num_epochs, eval_every)
        return Schedule(rungs, eta)
    ends, left, length = {num_epochs}, candidates, num_epochs / eta
    while left > 1 and length > 0.5:
        ends.add(min(num_epochs, -(-math.ceil(length) // eval_every) * eval_every))
        left, length = -(-left // eta), length / eta
    return Schedule(tuple(sorted(ends)), eta)


def _check(rungs: tuple[int, ...], num_epochs: int, eval_every: int) -> None:
    if list(rungs) != sorted(set(rungs)) or rungs[-1] > num_epochs:
        raise ConfigError(f"--rungs={','.join(map(str, rungs))}: must ascend, to --num_epochs="
                          f"{num_epochs} of the training at most")
    if rungs[0] < eval_every:
        raise ConfigError(f"--rungs={','.join(map(str, rungs))}: the first ends before there is an "
                          f"evaluation; after -- add --eval_every_epochs=1 (it is {eval_every})")
