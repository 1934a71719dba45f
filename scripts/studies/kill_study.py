#!/usr/bin/env python3
"""Kills runs at random moments and starts them again: nothing may be lost, torn or doubled.

Searches, final trainings, packing and export on a tiny data set get SIGKILL: anywhere, or just
when a checkpoint, a log line, the packed file or an exported model is being written. After each
kill every JSON line must be whole, and the next start must go on from the last finished
checkpoint. Each run is then finished and compared with one that was never killed: weights,
optimiser state, records and log lines, bit for bit (`--deterministic`).

Takes about ten seconds a kill on two quiet cores. The exit status is 1 if anything differs.
"""

import argparse
import contextlib
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

from kill_evidence import counters_of, differences, state_of, torn_lines, unfinished

from AEROBI.run.whole_files import is_temporary

SOURCE = pathlib.Path(__file__).resolve().parents[2] / "src"
KILLS_A_RUN = 6
POLL_SECS = 0.001
LONGEST_SECS = 600
RUN = (
    "--img_size=16", "--batch_size=8", "--log_every=1", "--seed=7", "--child_num_layers=3",
    "--child_out_filters=4", "--child_num_branches=6", "--child_lr_cosine", "--child_lr_max=0.01",
    "--child_lr_min=0.0001", "--child_lr_T_0=2", "--child_lr_T_mul=2",
    "--controller_search_whole_channels", "--controller_sync_replicas",
    "--controller_num_aggregate=3", "--controller_train_steps=4", "--controller_train_every=1",
    "--controller_warmup_epochs=0", "--controller_tanh_constant=1.5", "--deterministic")
KINDS = {"search": ("--recipe=shared",), "alone": ("--child_alone_epochs=1",),
         "final": ("--child_fixed_arc=3 5 1 0 1 1", "--nocontroller_training")}
MOMENTS = ("anywhere", "in a checkpoint", "after a log line", "in training")


class Kill(NamedTuple):
    """One row of the table."""

    what: str  # search, alone (a search without shared weights), final, pack, export
    aimed: str
    state: str  # what the files tell of the moment
    checkpoint: str  # the last finished one
    resumed: str  # where the next start went on
    faults: tuple[str, ...]


class Study:
    """A folder with a data set, and the commands on it."""

    def __init__(self, folder: pathlib.Path, seed: int, epochs: int):
        """Makes the data set."""
        self.folder, self.random, self.epochs = folder, random.Random(seed), epochs
        self._count, self._seconds = 0, 0.0  # of an uninterrupted run
        self.kills: list[Kill] = []
        self.compared: list[tuple[str, int, list[str]]] = []  # run, kills, what differs
        self.data, self.cache = folder / "data", folder / "cache"
        self.finish(self.command("sample-data", f"--output={self.data}", "--train=40", "--val=20",
                                 "--test=12"))

    def command(self, word: str, *arguments: str) -> subprocess.Popen:
        """Starts `aerobi WORD ...`."""
        self._count += 1
        log = self.folder / f"console_{self._count}.txt"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "AEROBI.cli", word, *arguments], stdout=file,
                stderr=subprocess.STDOUT, env={**os.environ, "PYTHONPATH": str(SOURCE)})
        process.console = log
        return process

    def finish(self, process: subprocess.Popen) -> str:
        """Waits for the end; what it said. SystemExit if it failed."""
        status, text = process.wait(LONGEST_SECS), process.console.read_text("utf-8", "replace")
        if status:
            sys.exit(f"{process.args}: exit status {status}\n{text}")
        return text

    def train(self, kind: str, output: pathlib.Path) -> subprocess.Popen:
        """A search or final training; the preset's other flags are overridden."""
        word = "final" if kind == "final" else "search"
        return self.command(word, *RUN, *KINDS[kind], f"--num_epochs={self.epochs}",
                            f"--data_path={self.data}", f"--cache_dir={self.cache}",
                            f"--output_dir={output}", "--checkpoint_secs=0.05")

    # Training.

    def kill_training(self, kind: str, count: int) -> None:
        """`count` kills of runs of one kind, each of which is finished and compared."""
        whole, began = self.folder / f"{kind}_whole", time.monotonic()
        self.finish(self.train(kind, whole))
        self._seconds = time.monotonic() - began
        number = 0
        while count > 0:
            number += 1
            output = self.folder / f"{kind}_{number}"
            made = self._kill_one_run(kind, output, min(count, KILLS_A_RUN))
            count -= made
            self.compared.append((output.name, made, differences(whole, output)))

    def _kill_one_run(self, kind: str, output: pathlib.Path, count: int) -> int:
        """Kills made before the run was through."""
        made, pending = 0, None
        while True:
            process = self.train(kind, output)
            moment = MOMENTS[len(self.kills) % len(MOMENTS)]
            killed = made < count and self._kill(process, moment, output)
            if not killed:
                self.finish(process)
            if pending is not None:
                self._add(pending, process)
                pending = None
            if not killed:
                return made
            made += 1
            pending = Kill(kind, moment, state_of(output), counters_of(output), "",
                           tuple(torn_lines(output)))

    def _add(self, kill: Kill, process: subprocess.Popen) -> None:
        """A kill, with what the start after it said. One that was killed early said nothing."""
        text = process.console.read_text("utf-8", "replace")
        found = re.search(r"Resuming after (\d+) child steps, (\d+) controller updates", text)
        resumed = " + ".join(found.groups()) if found else "start"
        began = found or "ch_step=" in text
        faults = kill.faults
        if "Traceback" in text:
            faults += ("traceback",)
        if began and resumed != kill.checkpoint:
            faults += ("did not go on from the last checkpoint",)
        self._note(kill._replace(resumed=resumed if began else "(killed again)", faults=faults))

    def _note(self, kill: Kill) -> None:
        self.kills.append(kill)
        show_kill(len(self.kills), kill)

    def _kill(self, process: subprocess.Popen, moment: str, output: pathlib.Path) -> bool:
        """Whether the process was killed before its end."""
        log = output / "metrics.jsonl"
        if moment == "anywhere":
            return self._kill_when(process, after(self.random.uniform(0, self._seconds)))
        size = log.stat().st_size if log.exists() else 0

        def training() -> bool:
            return "ch_step=" in process.console.read_text("utf-8", "replace")

        if not wait(process, training):
            return False
        if moment == "in training":
            return self._kill_when(process, after(self.random.uniform(0, 1)))
        time.sleep(self.random.uniform(0, 0.5))
        if moment == "in a checkpoint":
            return self._kill_when(process, lambda: bool(unfinished(output)))
        size = log.stat().st_size
        return self._kill_when(process, lambda: log.stat().st_size != size)

    def _kill_when(self, process: subprocess.Popen, condition: Callable[[], bool]) -> bool:
        if not wait(process, condition):
            return False
        process.send_signal(signal.SIGKILL)
        return process.wait(LONGEST_SECS) == -signal.SIGKILL

    # Packing and export: what is there is whole.

    def kill_writing(self, what: str, count: int) -> None:
        """`count` kills of `pack` or `export`, each followed by the same command."""
        start, written = {"pack": (self._pack, self._packed),
                          "export": (self._export, self._exported)}[what]
        self.finish(start("whole"))
        whole = written("whole")
        for number in range(count):
            name, faults = str(number), []
            folder = self.folder / f"pack_{name}"
            process = start(name)
            beginning = {"pack": lambda folder=folder: any(folder.glob("*.tmp")),
                         "export": lambda name=name: being_written(self.folder / f"export_{name}")}
            pause = self.random.uniform(0, {"pack": 0.02, "export": 1.0}[what])
            killed = wait(process, beginning[what]) and self._kill_when(process, after(pause))
            state = "half written" if killed and not written(name) else "whole"
            if not killed:
                self.finish(process)
            if written(name) not in (None, whole):
                faults.append("a half file under the final name")
            if killed and written(name) is None:
                self.finish(start(name))
            if written(name) != whole:
                faults.append("differs")
            if killed:
                self._note(Kill(what, "in writing", state, "", "again", tuple(faults)))

    def _pack(self, name: str) -> subprocess.Popen:
        return self.command("pack", str(self.data), "--img_size=64",
                            f"--cache_dir={self.folder / f'pack_{name}'}")

    def _packed(self, name: str) -> object:
        import h5py
        files = list((self.folder / f"pack_{name}").glob("*.h5"))
        if not files:
            return None
        with h5py.File(files[0], "r") as file:
            return file.attrs["fingerprint"], file["pixels"][...].tobytes()

    def _export(self, name: str) -> subprocess.Popen:
        return self.command("export", str(self.folder / "final_whole"),
                            f"--output={self.folder / f'export_{name}'}")

    def _exported(self, name: str) -> object:
        folder = self.folder / f"export_{name}"
        if not folder.exists():
            return None
        files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
        return files, (folder / "model.json").read_text()


def being_written(path: pathlib.Path) -> bool:
    """Whether a file or folder that is to become `path` is there by its temporary name."""
    return any(is_temporary(entry.name, path.name) for entry in path.parent.iterdir())


def after(seconds: float) -> Callable[[], bool]:
    """A condition that holds from then on."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def wait(process: subprocess.Popen, condition: Callable[[], bool]) -> bool:
    """False if the process ended before the condition held."""
    while process.poll() is None:
        with contextlib.suppress(OSError):  # files come and go
            if condition():
                return True
        time.sleep(POLL_SECS)
    return False


def show_kill(number: int, kill: Kill | None) -> None:
    """A row of the table; the first one is its head."""
    row = (f"{'':>3s}  {'what':7s} {'aimed at':17s} {'the files say':22s} {'checkpoint':>12s} "
           f"{'resumed':>15s}")
    if kill is not None:
        row = (f"{number:3d}  {kill.what:7s} {kill.aimed:17s} {kill.state:22s} "
               f"{kill.checkpoint:>12s} {kill.resumed:>15s}  {'; '.join(kill.faults) or 'ok'}")
    sys.stdout.write(row + "\n")
    sys.stdout.flush()


def show(study: Study, asked: int) -> bool:
    """Writes what became of the runs, and the counts; whether all is well.

    Kills that were asked for and came after the end of what they were aimed at are not counted.
    """
    write = sys.stdout.write
    write("\n")
    for name, made, found in study.compared:
        write(f"{name:12s} {made} kills, then finished: "
              f"{'equal bit for bit' if not found else 'DIFFERS: ' + ', '.join(found[:6])}\n")
    bad = sum(bool(kill.faults) for kill in study.kills)
    unequal = sum(bool(found) for *_, found in study.compared)
    write(f"\n{len(study.kills)} kills of {asked}, {bad} with a fault; "
          f"{len(study.compared)} runs finished, {unequal} different from the uninterrupted one\n")
    return not bad and not unequal


def main() -> int:
    """Kills, starts again, compares; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--epochs", type=int, default=8, help="of each run (default: 8)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default: 0)")
    parser.add_argument("--only", choices=(*KINDS, "pack", "export"), action="append",
                        help="what to kill (default: everything)")
    options = parser.parse_args()
    chosen = options.only or [*KINDS, "pack", "export"]
    shares = {"search": 3, "alone": 2, "final": 3, "pack": 1, "export": 1}
    total, left = sum(shares[what] for what in chosen), options.kills
    with tempfile.TemporaryDirectory() as folder:
        show_kill(0, None)
        study = Study(pathlib.Path(folder), options.seed, options.epochs)
        if "export" in chosen and "final" not in chosen:
            study.finish(study.train("final", study.folder / "final_whole"))
        for what in chosen:
            count = left if what == chosen[-1] else options.kills * shares[what] // total
            left -= count
            (study.kill_training if what in KINDS else study.kill_writing)(what, count)
        return 0 if show(study, options.kills) else 1


if __name__ == "__main__":
    sys.exit(main())
