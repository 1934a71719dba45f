"""What --child_fixed_arc may name: an architecture itself, or where one is written.

- "0 5 0 3 1 1 ...": the written form;
- FILE: a text file that holds it, or the architectures.json of a search (its best one);
- FOLDER: of a search, its architectures.json or else its best_architecture.txt;
- FILE#3, FOLDER#3, FOLDER#best: that rank of its architectures.json;
- best, #3: the same of the search that --init_from names, or of the folder `outputs`.
"""

import re
from pathlib import Path

from AEROBI.architecture import ArchitectureError
from AEROBI.config import ConfigError
from AEROBI.records import ranking
from AEROBI.run.regular_files import regular
from AEROBI.run.run_dir_checks import BEST_ARCHITECTURE_FILE
from AEROBI.search_space.spaces import AnyArchitecture, Space

DEFAULT_SEARCH = "outputs"  # output_dir of the search preset
MOST_BYTES = 1_000_000  # of a text file with one architecture
_WRITTEN_FORM = re.compile(r"\s*\d+(\s.*)?", re.DOTALL)  # or what was meant to be one
_REFERENCE = re.compile(r"(?:(.*)#)?(best|\d+)", re.DOTALL)


def read_fixed_arc(text: str, space: Space, search: str = "") -> AnyArchitecture:
    """The architecture that a value of the flag names.

    Args:
        text: the value.
        space: that it must be of.
        search: run directory that `best` and `#3` refer to.

    Raises:
        ConfigError: names the flag, and the file where there is one.
    """
    try:
        if not text.strip() or _WRITTEN_FORM.fullmatch(text):
            return space.parse(text)
        place, rank = _split(text, search)
        return _read(place, rank, space)
    except (ArchitectureError, ranking.RankingError) as error:
        raise ConfigError(
            f"--child_fixed_arc (with {space.flags}): {error}") from None
    except (OSError, ValueError) as error:  # ValueError: not even a file name
        if isinstance(error, ConfigError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"--child_fixed_arc={text[:200]!r}: is neither an architecture nor a "
                          f"file that can be read ({reason[:200]})") from None


def _split(text: str, search: str) -> tuple[Path, int | None]:
    """Where it is written, and the rank asked for, if one is."""
    if Path(text).exists():
        return Path(text), None
    reference = _REFERENCE.fullmatch(text)
    if reference is None:
        return Path(text), None
    place, rank = reference.groups()
    return Path(place or search or DEFAULT_SEARCH), 1 if rank == "best" else int(rank)


def _read(place: Path, rank: int | None, space: Space) -> AnyArchitecture:
    if place.is_dir():
        written = place / BEST_ARCHITECTURE_FILE
        if rank is None and not (place / ranking.FILE).exists() and written.exists():
            place = written
        else:
            place = place / ranking.FILE
    if rank is None and place.suffix != ".json":
        with open(place, "rb", opener=regular) as file:
            text = file.read(MOST_BYTES).decode("utf-8", "replace")
        return _parse_in(place, text, space)
    candidates = ranking.load(place).architectures
    rank = 1 if rank is None else rank
    if not 1 <= rank <= len(candidates):
        raise ConfigError(f"--child_fixed_arc: {place} has ranks 1 to {len(candidates)}, "
                          f"not {rank}")
    return _parse_in(place, candidates[rank - 1].architecture, space)


def _parse_in(place: Path, text: str, space: Space) -> AnyArchitecture:
    try:
        return space.parse(text)
    except ArchitectureError as error:
        raise ArchitectureError(f"{place}: {error}") from None
