"""Successive halving as numbers: who is trained for how long (Jamieson and Talwalkar, 2016)."""

import math
from dataclasses import dataclass

from AEROBI.config import ConfigError

SHORTEST = 3  # epochs of an annealed rung: fewer do not anneal


@dataclass(frozen=True)
class Schedule:
    """Rungs: all candidates are trained to the first one, the best of them to the next, ...

    Annealed, each rung is a training of its own, from new weights and with its learning rate gone
    down to the end; else it goes on with the training of the rung before, whose learning rate
    follows the epochs of the whole one. An annealed rung costs its epochs anew, and tells more:
    see scripts/studies/README.md.
    """

    rungs: tuple[int, ...]  # epochs after which each ends, ascending
    eta: int  # one of so many goes on
    annealed: bool = False

    @property
    def lengths(self) -> tuple[int, ...]:
        """Epochs that a candidate is trained for in each rung."""
        if self.annealed:
            return self.rungs
        return tuple(end - start for start, end in zip((0, *self.rungs), self.rungs))

    def entrants(self, candidates: int) -> list[int]:
        """How many are trained in each rung."""
        counts = [candidates]
        for _ in self.rungs[1:]:
            counts.append(-(-counts[-1] // self.eta))
        return counts

    def epochs(self, candidates: int) -> int:
        """How many epochs are trained in all, over candidates and rungs."""
        return sum(count * length
                   for count, length in zip(self.entrants(candidates), self.lengths))


def make_schedule(candidates: int, num_epochs: int, eta: int, rungs: tuple[int, ...] | None,
                  eval_every: int, annealed: bool = False) -> Schedule:
    """The schedule that was asked for, or one that ends with few fully trained.

    By default the last rung is the whole training and each one before it has 1 / eta of the
    epochs, until one of all candidates is left; every rung but the last ends with an evaluation,
    and none that is annealed is shorter than SHORTEST.

    Args:
        candidates: how many begin.
        num_epochs: of a whole training.
        eta: one of so many goes on from each rung.
        rungs: epochs after which each ends; None: the default.
        eval_every: epochs from one evaluation of a training to the next.
        annealed: see Schedule.

    Raises:
        ConfigError: rungs that cannot be; the message names the flag.
    """
    if rungs is not None:
        _check(rungs, num_epochs, eval_every)
        return Schedule(rungs, eta, annealed)
    ends, left, length = {num_epochs}, candidates, num_epochs / eta
    while left > 1 and length > (SHORTEST - 1 if annealed else 0.5):
        ends.add(min(num_epochs, -(-math.ceil(length) // eval_every) * eval_every))
        left, length = -(-left // eta), length / eta
    return Schedule(tuple(sorted(ends)), eta, annealed)


def _check(rungs: tuple[int, ...], num_epochs: int, eval_every: int) -> None:
    if list(rungs) != sorted(set(rungs)) or rungs[-1] > num_epochs:
        raise ConfigError(f"--rungs={','.join(map(str, rungs))}: must ascend, to --num_epochs="
                          f"{num_epochs} of the training at most")
    if rungs[0] < eval_every:
        raise ConfigError(f"--rungs={','.join(map(str, rungs))}: the first ends before there is an "
                          f"evaluation; after -- add --eval_every_epochs=1 (it is {eval_every})")
