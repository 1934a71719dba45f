"""From a log to the three files of the published extraction script.

    arc_string_output.txt        the printed architectures, a line for each layer [op bit_0 ...] or
                                 for each cell, without its brackets
    valid_accuracy_array.npy     float64 [evaluations], exact match on the validation split
    test_accuracy_array.npy      likewise, test split
"""

import io
from pathlib import Path

import numpy as np

from AEROBI.records.log_space import space_of_log
from AEROBI.records.published_log import LogError, PublishedLog, parse
from AEROBI.run.regular_files import regular
from AEROBI.run.whole_files import replace_files
from AEROBI.search_space.spaces import MacroSpace, MicroSpace

ARCHITECTURES_FILE = "arc_string_output.txt"
VALID_FILE = "valid_accuracy_array.npy"
TEST_FILE = "test_accuracy_array.npy"


def extract(log_path: Path, num_layers: int, output_dir: Path) -> str:
    """Writes the files of what is in a log; returns what to tell the user.

    A final training prints no architectures; the file of what a log does not have is not
    touched. Nothing is written before the whole log was read.

    Raises:
        LogError: neither architectures nor accuracies are there, or an architecture is torn.
        OSError: the log cannot be read, or a file cannot be written.
    """
    log = read_log(log_path, num_layers)
    contents = _contents(log)
    if not contents:
        raise LogError(f"{log_path}: neither architectures nor accuracies; give the file "
                       "stdout of an output folder, or what a run wrote to the console")
    output_dir.mkdir(parents=True, exist_ok=True)
    replace_files({output_dir / name: content for name, content in contents.items()})
    return summary(log, output_dir)


def read_log(path: Path, num_layers: int) -> PublishedLog:
    """Reads the log in a file, in the published format; of what size cells are, it tells itself.

    Raises:
        LogError: names the file and the line.
        OSError: it cannot be read.
    """
    # Only \n ends a line here: progress bars go back to its start with \r.
    with open(path, encoding="utf-8", errors="replace", newline="\n", opener=regular) as file:
        lines = list(file)
        space = space_of_log(lines)
        try:
            return parse(lines, space if isinstance(space, MicroSpace) else MacroSpace(num_layers))
        except LogError as error:
            raise LogError(f"{path}: {error}") from None


def summary(log: PublishedLog, output_dir: Path) -> str:
    """How much of each there is and where it went, and the best accuracy: some lines."""
    lines = [f"{count} {what}" + (f": {output_dir / name}" if count else ", none written")
             for count, what, name in (
                 (len(log.architectures), "architectures", ARCHITECTURES_FILE),
                 (len(log.valid_accuracies), "validation accuracies", VALID_FILE),
                 (len(log.test_accuracies), "test accuracies", TEST_FILE))]
    for best in log.all_best():
        epoch = f" (epoch {best.epoch})" if best.epoch is not None else ""
        lines.append(f"Best validation accuracy {best.valid:.4f}{epoch}, "
                     f"test accuracy there {best.test:.4f}")
    return "\n".join(lines)


def _contents(log: PublishedLog) -> dict[str, bytes]:
    """File name -> content, of everything that is there."""
    contents = {}
    if log.architectures:
        lines = (" ".join(map(str, row)) + "\n"
                 for architecture in log.architectures for row in architecture.rows)
        contents[ARCHITECTURES_FILE] = "".join(lines).encode()
    for name, values in ((VALID_FILE, log.valid_accuracies), (TEST_FILE, log.test_accuracies)):
        if len(values):
            contents[name] = _npy(values)
    return contents


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()
