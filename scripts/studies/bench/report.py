"""Rows of the table, the machine they were measured on, and both as text and JSON."""

import json
import os
import pathlib
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata

from AEROBI.run.whole_files import replace_file
from bench.timing import Times

BUSY = 0.5  # processes; more than that, and ratios are not to be trusted


@dataclass(frozen=True)
class Row:
    """One measured figure, and where there is a target, whether it is met."""

    section: str
    setting: str
    name: str
    value: float | None  # None: could not be measured; the note says why
    unit: str
    low: float | None = None
    high: float | None = None
    count: int | None = None  # measurements behind it
    target: str = ""  # as "<= 0.45"
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without target or value."""
        if not self.target or self.value is None:
            return None
        sign, bound = self.target.split()[:2]
        return self.value <= float(bound) if sign == "<=" else self.value >= float(bound)


def time_row(section: str, setting: str, name: str, times: Times) -> Row:
    """The row of a competitor's time."""
    return Row(section, setting, name, times.median, "ms", times.low, times.high, times.count)


def machine() -> dict[str, object]:
    """Processor, cores, memory and the versions of what was measured."""
    versions = {}
    for package in ("tensorflow", "tensorflow-cpu", "torch", "numpy", "pillow"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    info = processor_info()
    return {"processor": info.get("model name", platform.processor()),
            "vector_instructions": sorted(
                flag for flag in info.get("flags", "").split() if flag.startswith(("avx", "amx"))),
            "cores": os.cpu_count(), "load": round(load(), 2), "system": platform.platform(),
            "python": platform.python_version(), "versions": versions}


def load() -> float:
    """Processes that run, mean of the last minute; 0 where that is not known."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def processor_info() -> dict[str, str]:
    """What Linux says of the first processor; empty elsewhere."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return {}
    lines = (line.split(":", 1) for line in text.split("\n\n")[0].splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in lines}


def table(rows: Sequence[Row], described: dict[str, object]) -> str:
    """For people: a line for each row, under a heading for each section and setting."""
    lines = [f"{described['processor']}, {described['cores']} cores, "
             f"{' '.join(described['vector_instructions'])}, Python {described['python']}, "
             + ", ".join(f"{name} {version}" for name, version in described["versions"].items())]
    if described["load"] > BUSY:
        lines.append(f"NOT QUIET: {described['load']} processes ran before this one, so no target "
                     "is judged. PyTorch's threads wait for each other and suffer most.")
    heading = None
    for row in rows:
        if (row.section, row.setting) != heading:
            heading = row.section, row.setting
            lines += ["", f"{row.section}: {row.setting}"]
        lines.append(_line(row, described["load"] > BUSY))
    return "\n".join(lines) + "\n"


def _line(row: Row, busy: bool) -> str:
    value = "      -" if row.value is None else f"{_number(row.value):>7}"
    spread = ""
    if row.low is not None:
        spread = f"{_number(row.low)} to {_number(row.high)}" + (
            f" of {row.count}" if row.count else "")
    verdict = {True: "met", False: "MISSED", None: ""}[None if busy else row.met]
    target = f"{row.target:9s} {verdict:6s}" if row.target else ""
    return f"  {row.name:46s} {value} {row.unit:9s} {spread:26s} {target} {row.note}".rstrip()


def _number(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 1000 else (
        f"{value:.0f}")


def write_json(path: pathlib.Path, rows: Sequence[Row], described: dict[str, object],
               seconds: float) -> None:
    """The same for programs."""
    record = {"machine": described, "seconds": round(seconds, 1),
              "rows": [{**asdict(row), "met": row.met} for row in rows]}
    replace_file(path, (json.dumps(record, indent=1) + "\n").encode())
