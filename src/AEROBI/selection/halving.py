"""Successive halving by real training, shared by as many processes as are started.

All candidates are trained for a few epochs, the better ones for more, and so on (Jamieson and
Talwalkar, 2016): from their checkpoints, or, annealed, each time anew (`Schedule`). Only the
validation split is looked at.

    FOLDER/plan.json                 what was asked for, and the candidates; written by the first
    FOLDER/candidate_03/             its training, a run directory as `aerobi final` makes it
    FOLDER/candidate_03_4_epochs/    that of an annealed rung
    FOLDER/candidate_03.claim        who trains it
    FOLDER/candidate_03.rung_2.json  what it was worth at the end of that rung

A rung begins when all results of the one before are there, so that every process promotes the same
ones. A process that is killed loses its claim with its life, and the next one goes on from the
last checkpoint.
"""

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from AEROBI.records.ranking import worth
from AEROBI.run.claims import Claim, claim
from AEROBI.run.regular_files import read_json
from AEROBI.run.whole_files import replace_file
from AEROBI.search_space.spaces import AnyArchitecture
from AEROBI.selection.candidate_training import RungResult, Trainings, train
from AEROBI.selection.schedule import Schedule

log = logging.getLogger(__name__)

POLL_SECS = 0.5  # while others train what is left of a rung
Results = list[dict[int, RungResult]]  # a dict for each rung: candidate -> result


class Halving(NamedTuple):
    """The candidates and how they are trained."""

    architectures: tuple[AnyArchitecture, ...]  # best by the search first
    schedule: Schedule
    trainings: Trainings


def candidate_name(candidate: int) -> str:
    """The name of its folder and its files; `candidate` counts from 0, the name from 1."""
    return f"candidate_{candidate + 1:02d}"


def run_halving(halving: Halving, tell: Callable[[str], None]) -> Results:
    """Trains what is left to train, together with other processes; returns all results.

    Args:
        halving: the same in all processes.
        tell: takes a line for the user.

    Raises:
        ClaimError: nothing can be claimed in the folder.
        CheckpointError, OSError, RunDirectoryError: a training cannot be written or resumed.
        Stopped: by a signal; what was trained so far is kept.
    """
    results: Results = []
    entrants = list(range(len(halving.architectures)))
    counts = halving.schedule.entrants(len(entrants))
    with tqdm(total=halving.schedule.epochs(len(entrants)), desc="epochs of all", unit="epoch",
              disable=None, dynamic_ncols=True, leave=False) as bar:
        progress = _Progress(halving, bar, tell)
        for rung, count in enumerate(counts):
            entrants = _promoted(results[-1], count, halving) if results else entrants
            results.append(_run_rung(halving, rung, entrants, progress))
    return results


def read_results(halving: Halving) -> Results:
    """What is there so far; a rung that nobody has begun is an empty dict."""
    return [_read_rung(halving, rung, range(len(halving.architectures)))
            for rung in range(len(halving.schedule.rungs))]


def _promoted(results: dict[int, RungResult], count: int, halving: Halving) -> list[int]:
    """The best of a rung; among equals the one that the search preferred."""
    def key(candidate: int) -> tuple:
        result = results[candidate]
        return worth(result.exact_match, result.mean_average_precision,
                     halving.trainings.measure, result.loss), -candidate
    going_on = [candidate for candidate in results if not results[candidate].failure]
    return sorted(sorted(going_on, key=key, reverse=True)[:count])


def _run_rung(halving: Halving, rung: int, entrants: Sequence[int],
              progress: "_Progress") -> dict[int, RungResult]:
    while True:
        done = _read_rung(halving, rung, entrants)
        progress.look(rung)
        if len(done) == len(entrants):
            return done
        left = [entrant for entrant in entrants if entrant not in done]
        with _take(halving, rung, left) as candidate:
            if candidate is None:
                time.sleep(POLL_SECS)
                continue
            result = train(
                halving.trainings, halving.architectures[candidate], candidate_name(candidate),
                halving.schedule.rungs[rung], progress.of_training(rung),
                halving.schedule.annealed)
            if result.failure:
                tqdm.write(f"{candidate_name(candidate)} is out: {result.failure}")
            replace_file(_result_file(halving, rung, candidate),
                         (json.dumps(result._asdict()) + "\n").encode())


@contextlib.contextmanager
def _take(halving: Halving, rung: int, left: Sequence[int]) -> Iterator[int | None]:
    """A candidate that is neither done nor another process's; None where there is none."""
    held: Claim | None = None
    free = None
    for candidate in left:
        held = claim(halving.trainings.folder / f"{candidate_name(candidate)}.claim")
        if held is None:
            continue
        if not _result_file(halving, rung, candidate).exists():
            free = candidate
            break
        held.release()  # done in between
    try:
        yield free
    finally:
        if held is not None:
            held.release()


def _result_file(halving: Halving, rung: int, candidate: int) -> Path:
    return halving.trainings.folder / f"{candidate_name(candidate)}.rung_{rung + 1}.json"


def _read_rung(halving: Halving, rung: int, entrants: Sequence[int]) -> dict[int, RungResult]:
    """The results that are there; a file that holds none raises OSError with the way out."""
    found = {}
    for candidate in entrants:
        path = _result_file(halving, rung, candidate)
        try:
            found[candidate] = RungResult(**read_json(path))
        except FileNotFoundError:
            continue
        except (TypeError, ValueError) as error:
            raise OSError(f"{path}: is no result ({error}); remove it, and it is made anew from "
                          "the training") from None
    return found


class _Progress:
    """The bar over all epochs, and what the first timed epoch says of the rest."""

    def __init__(self, halving: Halving, bar: tqdm, tell: Callable[[str], None]):
        self._halving, self._bar, self._tell = halving, bar, tell
        self._estimated = False

    def look(self, rung: int) -> None:
        """Counts what every process has finished, up to this rung."""
        counts = self._halving.schedule.entrants(len(self._halving.architectures))
        lengths = self._halving.schedule.lengths
        full = sum(counts[at] * lengths[at] for at in range(rung))
        done = len(_read_rung(self._halving, rung, range(len(self._halving.architectures))))
        self._show(full + done * lengths[rung])

    def of_training(self, rung: int) -> Callable[[int], None]:
        """A function to be called with the epochs a training of this process has done."""
        schedule, base = self._halving.schedule, self._bar.n
        start = schedule.rungs[rung] - schedule.lengths[rung]
        began = time.monotonic()
        times: list[float] = []

        def epochs_done(epochs: int) -> None:
            times.append(time.monotonic())
            self._show(base + max(0, epochs - start))
            if len(times) == 2 and not self._estimated:
                self._estimated = True
                self._estimate(times[0] - began, times[1] - times[0])

        return epochs_done

    def _estimate(self, setup: float, epoch: float) -> None:
        """Setting up is paid for once for each training of each rung."""
        schedule, candidates = self._halving.schedule, len(self._halving.architectures)
        trainings = sum(schedule.entrants(candidates))
        left = max(0, self._bar.total - self._bar.n)
        seconds = left * epoch + trainings * setup * left / self._bar.total
        self._tell(f"about {seconds / 60:.1f} minutes more for one process: {epoch:.1f} s for the "
                   f"first epoch, {setup:.1f} s to set up a training")

    def _show(self, epochs: int) -> None:
        self._bar.n = epochs
        self._bar.refresh()
