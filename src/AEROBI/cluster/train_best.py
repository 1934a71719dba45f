"""Final trainings of the best architectures of a search, by as many processes as are started.

Each process takes the best architecture that nobody has taken, trains it with the flags of the
command line in a process of its own, and takes the next one, until all are done; whoever is last
writes the table. The same command on every machine, or several times on one, shares the work.

    OUTPUT/rank_1/        a final training each, as --child_fixed_arc makes it
    OUTPUT/rank_1.claim   who trains it
    OUTPUT/results.json   one record for each, best first
    OUTPUT/results.txt    the same as a table
"""

import json
import logging
import pathlib
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from AEROBI.cluster.subprocesses import child_environment
from AEROBI.config import ConfigError
from AEROBI.records import ranking
from AEROBI.records.run_records import read_run
from AEROBI.run.claims import Claim, claim
from AEROBI.run.regular_files import read_json
from AEROBI.run.whole_files import replace_files
from AEROBI.training.stopping import StopRequest, stop_on_signals

log = logging.getLogger("AEROBI.cluster.train_best")

USAGE_ERROR = 2  # of a training's own exit status
POLL_SECS = 0.2
# What a run gets from here.
OWN = ("output_dir", "child_fixed_arc", "reset_output_dir")


class Result(NamedTuple):
    """What one final training came to: the evaluation with the best validation exact match."""

    rank: int  # in the search
    architecture: str
    parameters: int
    shared_exact_match: float | None  # with the shared weights of the search, if it had any
    val_exact_match: float
    test_exact_match: float
    epoch: int


def train_best(search: pathlib.Path, count: int, output: pathlib.Path,
               command: Sequence[str]) -> int:
    """Trains what is left to train; returns an exit status.

    Args:
        search: folder with an architectures.json, or that file.
        count: how many, from the best on.
        output: folder of the final trainings, shared by all processes.
        command: of a final training, without the flags that are set here.

    Raises:
        ConfigError: the command names what is set here.
        RankingError: there is no ranking.
        ClaimError: nothing can be claimed in the folder.
        OSError: a file cannot be read or written.
    """
    file = search / ranking.FILE if search.is_dir() else search
    found = ranking.load(file)
    candidates = found.architectures[:count]
    _check_command(command)
    output.mkdir(parents=True, exist_ok=True)
    _check_same_work(output, candidates)
    failed: dict[int, int] = {}  # rank -> status
    with stop_on_signals() as stop:
        while (claimed := _take(output, candidates, failed)) is not None:
            candidate, held = claimed
            with held:
                status = _train(output, candidate, command, held, stop)
            stop.raise_if_made()
            if status == USAGE_ERROR:  # it will be no other for the others
                return status
            if status:
                failed[candidate.rank] = status
    _collect(output, candidates)
    return max(failed.values(), default=0)


def _take(output: pathlib.Path, candidates: Sequence[ranking.Candidate],
          failed: Mapping[int, int]) -> tuple[ranking.Candidate, Claim] | None:
    """The best one that is neither done nor another's, claimed; None where there is none."""
    for candidate in candidates:
        if candidate.rank in failed or _done(output, candidate).exists():
            continue
        held = claim(output / f"rank_{candidate.rank}.claim")
        if held is None:
            log.info("Rank %d is being trained by another process", candidate.rank)
        elif _done(output, candidate).exists():  # in between
            held.release()
        else:
            return candidate, held
    return None


def _done(output: pathlib.Path, candidate: ranking.Candidate) -> pathlib.Path:
    """The file with the result of a final training, once there is one."""
    return output / f"rank_{candidate.rank}.done.json"


def _read_done(file: pathlib.Path) -> dict[str, Any]:
    """The fields of a `Result`; ConfigError where a file of that name holds none."""
    try:
        record = read_json(file)
        record["architecture"]
        return record
    except (OSError, ValueError, TypeError, LookupError) as error:
        raise ConfigError(f"{file}: holds no result of a final training ({error}); "
                          "remove it, and the same command trains that rank again") from None


def _check_command(command: Sequence[str]) -> None:
    for word in command:
        name = word.lstrip("-").partition("=")[0]
        if word.startswith("--") and name in OWN and word != "--noreset_output_dir":
            raise ConfigError(f"--{name}: is set for every architecture; leave it out")


def _check_same_work(output: pathlib.Path, candidates: Sequence[ranking.Candidate]) -> None:
    """A folder of results belongs to one ranking."""
    for candidate in candidates:
        done = _done(output, candidate)
        if done.exists() and _read_done(done)["architecture"] != candidate.architecture:
            raise ConfigError(f"{output}: holds rank {candidate.rank} of another search; name "
                              "another folder with --output")


def _train(output: pathlib.Path, candidate: ranking.Candidate, command: Sequence[str], held: Claim,
           stop: StopRequest) -> int:
    """One final training, resumed where an earlier process left it; its exit status."""
    place = output / f"rank_{candidate.rank}"
    words = [*command, "--noreset_output_dir", f"--output_dir={place}",
             f"--child_fixed_arc={candidate.architecture}"]
    log.info("Rank %d: %s", candidate.rank, candidate.architecture)
    # The claim lasts as long as the training does, even if this process is killed.
    process = subprocess.Popen(words, pass_fds=[held.descriptor], env=child_environment())
    status = _wait(process, stop)
    if status:
        log.error("Error: rank %d: the training ended with status %d; the same command goes on "
                  "with it", candidate.rank, status)
        return status if status > 0 else 128 - status
    result = json.dumps(_result(place, candidate)._asdict()) + "\n"
    replace_files({_done(output, candidate): result.encode()})
    return 0


def _wait(process: subprocess.Popen, stop: StopRequest) -> int:
    """Its exit status; a signal to this process is passed on, and it writes a checkpoint."""
    passed_on = False
    while True:
        try:
            return process.wait(POLL_SECS)
        except subprocess.TimeoutExpired:
            if stop.signal_number is not None and not passed_on:
                process.terminate()
                passed_on = True


def _result(place: pathlib.Path, candidate: ranking.Candidate) -> Result:
    best = read_run(place).best_evaluation()
    if best is None:
        raise OSError(f"{place}: the training evaluated nothing; lower --eval_every_epochs")
    epoch, val, test = best
    return Result(candidate.rank, candidate.architecture, candidate.parameters,
                  candidate.exact_match, val, test, epoch)


def _collect(output: pathlib.Path, candidates: Sequence[ranking.Candidate]) -> None:
    """The table of those that are done; every process writes it, the last one all of it."""
    with claim(output / "results.claim", wait=True):
        files = [_done(output, candidate) for candidate in candidates]
        results = [Result(**_read_done(file)) for file in files if file.exists()]
        results.sort(key=lambda result: -result.val_exact_match)
        records = json.dumps([result._asdict() for result in results], indent=1) + "\n"
        replace_files({output / "results.json": records.encode(),
                       output / "results.txt": table(results).encode()})
    log.info("%s", table(results).rstrip())
    if len(results) < len(candidates):
        log.info("%d of %d are not done; other processes may be at them",
                 len(candidates) - len(results), len(candidates))


def table(results: Sequence[Result]) -> str:
    """Plain text, a line for each final training, best validation first."""
    lines = ["rank  parameters  shared val  final val  final test  epoch  architecture"]
    lines += [f"{result.rank:4d}  {result.parameters:10,d}  {_shared(result):>10s}  "
              f"{result.val_exact_match:9.4f}  {result.test_exact_match:10.4f}  {result.epoch:5d}  "
              f"{result.architecture}" for result in results]
    return "\n".join(lines) + "\n"


def _shared(result: Result) -> str:
    return "-" if result.shared_exact_match is None else f"{result.shared_exact_match:.4f}"
