"""From the command to the first step of a search, new or restarted; and the short commands.

Beside each time stand the CPU seconds of the process: other programs on the machine add less to
them. Short commands take turns with a process that only imports TensorFlow.
"""

import importlib.util
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from AEROBI.sample_data.generate import SampleSizes, generate
from bench.own_process import WorkerError, environment
from bench.report import Row

TARGET = 10  # seconds
GRAPH_TARGET = 2.5  # times `import tensorflow`, to the first step
TFLITE_TARGET = 1  # second
REPEATS = 5  # of a short command; its time is their median
IMAGES = 200  # that are evaluated
ARC = "3 5 1 0 1 1 1 0 0 0 2 0 1 0 1 4 0 0 0 1 0 0 1 0 0 0 1 1"
IMPORT = "import tensorflow"
AEROBI = ("-m", "AEROBI.cli")
PRESET = (
    "--batch_size=16", "--log_every=1", "--child_num_layers=7", "--child_num_branches=6",
    "--child_keep_prob=0.5", "--child_l2_reg=0.0005", "--child_lr_cosine", "--child_lr_max=0.01",
    "--child_lr_min=0.00001", "--child_lr_T_0=10", "--child_lr_T_mul=2",
    "--controller_search_whole_channels", "--controller_sync_replicas",
    "--controller_num_aggregate=20", "--controller_train_steps=40",
    "--controller_tanh_constant=1.5", "--controller_entropy_weight=0.0001",
    "--controller_skip_target=0.4", "--controller_skip_weight=0.8")


class Size(NamedTuple):
    """Of a network and its patches."""

    filters: int
    side: int  # pixels

    @property
    def setting(self) -> str:
        """As a heading of the table."""
        return f"search preset, 7 layers, {self.filters} filters, {self.side} px"


class Spent(NamedTuple):
    """What a process, or a part of one, took."""

    wall: float  # seconds
    cpu: float  # seconds of user and system, in all threads


def measure(largest: Size, smallest: Size, folder: pathlib.Path) -> list[Row]:
    """Both, with everything a run does: graph, session, weights or checkpoint, first batch.

    Args:
        largest: of the search that is started.
        smallest: of the networks of the short commands, so that arithmetic weighs little.
        folder: an empty one.
    """
    generate(folder / "data", SampleSizes(train=64, val=16, test=IMAGES), seed=0)
    where, flags = largest.setting, _flags(largest, folder)
    imported = _medians({IMPORT: ["-c", IMPORT]})[IMPORT]
    rows = []
    for name in ("new run", "restarted run"):
        whole, graph = _first_step(flags)
        rows += [Row("startup", where, f"{name}: graph and first step", graph.wall, "s",
                     target=f"<= {TARGET}"),
                 Row("startup", where, f"{name}: whole process to the first step", whole.wall,
                     "s"),
                 *_ratios(where, f"{name}: graph and first step", graph, imported,
                          f"<= {GRAPH_TARGET}")]
    return [*rows, *_short_commands(smallest, folder)]


def _flags(size: Size, folder: pathlib.Path) -> list[str]:
    run = folder / f"run_{size.filters}_{size.side}"
    return [*PRESET, f"--child_out_filters={size.filters}", f"--img_size={size.side}",
            f"--data_path={folder / 'data'}", f"--output_dir={run}",
            f"--cache_dir={folder / 'cache'}"]


def _short_commands(size: Size, folder: pathlib.Path) -> list[Row]:
    """Whole processes over one that only imports TensorFlow."""
    flags, where = _flags(size, folder), size.setting
    _first_step(flags)
    _finished(["-m", "AEROBI.main", *flags, f"--output_dir={folder / 'final'}",
               f"--child_fixed_arc={ARC}", "--num_epochs=1"])
    photo = next((folder / "data" / "test").rglob("*.png"))
    model = folder / "model"
    _finished([*AEROBI, "export", str(folder / "final"), f"--output={model}"])
    run = next(flag for flag in flags if flag.startswith("--output_dir=")).partition("=")[2]
    targets = {"predict one photograph": 1.3, f"evaluate {IMAGES} images": 1.6,
               "select --samples 5": 2.5}
    words = [["predict", folder / "final", photo], ["evaluate", folder / "final"],
             ["select", run, "--samples", "5"]]
    commands = {name: [*AEROBI, *map(str, some)] for name, some in zip(targets, words)}
    lite = "predict one photograph, .tflite"
    with_litert = importlib.util.find_spec("ai_edge_litert") is not None
    if with_litert:
        commands[lite] = [*AEROBI, "predict", str(model / "model.tflite"), str(photo)]
    spent = _medians({IMPORT: ["-c", IMPORT], **commands})
    rows = [Row("startup", where, IMPORT, spent[IMPORT].wall, "s"),
            Row("startup", where, f"{IMPORT}, CPU", spent[IMPORT].cpu, "s")]
    for name, target in targets.items():
        rows += _ratios(where, name, spent[name], spent[IMPORT], f"<= {target}")
    if not with_litert:
        return [*rows, Row("startup", where, lite, None, "s", target=f"<= {TFLITE_TARGET}",
                           note="not available here: pip install '.[litert]'")]
    return [*rows, Row("startup", where, lite, spent[lite].wall, "s",
                       target=f"<= {TFLITE_TARGET}"),
            Row("startup", where, f"{lite}, CPU", spent[lite].cpu, "s",
                target=f"<= {TFLITE_TARGET}")]


def _ratios(where: str, name: str, spent: Spent, imported: Spent, target: str) -> list[Row]:
    """By the clock, and of CPU seconds."""
    return [Row("startup", where, f"{name} / import", spent.wall / imported.wall, "ratio",
                target=target),
            Row("startup", where, f"{name} / import, CPU", spent.cpu / imported.cpu, "ratio",
                target=target)]


def _medians(commands: Mapping[str, Sequence[str]]) -> dict[str, Spent]:
    """What a Python process with the words of each command takes; they take turns."""
    spent = {name: [] for name in commands}
    for _ in range(REPEATS):
        for name, words in commands.items():
            spent[name].append(_finished(words))
    return {name: Spent(*map(statistics.median, zip(*some))) for name, some in spent.items()}


def _finished(words: Sequence[str]) -> Spent:
    """Runs a Python process to its end.

    Raises:
        WorkerError: it failed.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        start = time.monotonic()
        process = subprocess.Popen([sys.executable, *words], stdout=output,
                                   stderr=subprocess.STDOUT, env=environment())
        _, status, usage = os.wait4(process.pid, 0)  # of this process alone
        spent = Spent(time.monotonic() - start, usage.ru_utime + usage.ru_stime)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise WorkerError(f"{' '.join(words[:3])}: {output.read().strip()[-300:]}")
    return spent


def _first_step(flags: list[str]) -> tuple[Spent, Spent]:
    """What it takes to the first step's log line: from the start, and since the graph was begun.

    Then the run is ended by SIGTERM, at which it writes a checkpoint.

    Raises:
        WorkerError: it ended before the first step.
    """
    start = time.monotonic()
    begun = Spent(start, 0.0)
    process = subprocess.Popen(
        [sys.executable, "-m", "AEROBI.main", *flags], text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env={**environment(), "PYTHONUNBUFFERED": "1"})
    line = ""
    try:
        for line in process.stdout:
            if line.startswith("Building the graph"):
                begun = Spent(time.monotonic(), _cpu_so_far(process.pid))
            if line.startswith("epoch="):
                now = Spent(time.monotonic(), _cpu_so_far(process.pid))
                return (Spent(now.wall - start, now.cpu),
                        Spent(now.wall - begun.wall, now.cpu - begun.cpu))
    finally:
        _end(process)
    raise WorkerError(f"the search ended before its first step: {line.strip()}")


def _cpu_so_far(pid: int) -> float:
    """CPU seconds of a process that still runs (Linux, proc(5): fields 14 and 15 of stat)."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        os.kill(process.pid, signal.SIGTERM)
    process.communicate()
