"""Draws one architecture as a picture, or what a search sampled as film or as pictures."""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from AEROBI.architecture import Architecture
from AEROBI.commands.arguments import number, positive
from AEROBI.commands.outcome import UsageError, finish
from AEROBI.config import MACRO, MICRO
from AEROBI.drawing import animation, dag
from AEROBI.drawing.extras import require
from AEROBI.drawing.operation_styles import DARK, LIGHT
from AEROBI.records import search_history
from AEROBI.records.search_history import SearchHistory
from AEROBI.run.whole_files import replace_file
from AEROBI.search_space.spaces import AnyArchitecture, parse_any

PICTURES = {"png": dag.png, "svg": dag.svg, "pdf": dag.pdf}
FILMS = ("mp4", "gif")
_EXAMPLES = """examples:
  %(prog)s outputs --formats mp4 gif --output drawings
  %(prog)s outputs/stdout --formats svg --every 100
  %(prog)s --architecture "$(cat outputs/best_architecture.txt)" --output best.pdf
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Draws what the command line names; returns the exit status."""
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells every glyph of a PDF
    return finish(lambda: _run(options))


def _run(options: argparse.Namespace) -> None:
    _check(options)
    written = _draw_one(options) if options.architecture is not None else _draw_search(options)
    sys.stdout.write("".join(f"{line}\n" for line in written))


def save_pictures(history: SearchHistory, folder: Path, kind: str = "png", every: int = 1,
                  dark: bool = False) -> list[Path]:
    """A picture of every k-th architecture, architecture_0001.png and so on; returns the paths.

    Raises:
        MissingExtraError: matplotlib or networkx is not installed.
        OSError: a file cannot be written.
    """
    count = len(history.architectures)
    paths = []
    for index in tqdm(animation.frame_indices(count, every), desc=kind, unit=" pictures",
                      leave=False,
                      disable=None):
        paths.append(folder / f"architecture_{index + 1:0{max(4, len(str(count)))}d}.{kind}")
        content = PICTURES[kind](history.architectures[index], DARK if dark else LIGHT,
                                 f"architecture {index + 1}")
        replace_file(paths[-1], content)
    return paths


def _check(options: argparse.Namespace) -> None:
    """Refuses options that do not go together."""
    if options.architecture is None:
        if options.source is None:
            raise UsageError("name a run directory or a log, or give --architecture")
        unsuitable, where = ("title", "optimise", "search_for"), "of one architecture only"
    elif options.source is not None:
        raise UsageError(f"{options.source}: name a search or give --architecture, not both")
    else:
        unsuitable, where = ("every", "fps"), "of a search only"
    for name in unsuitable:
        if getattr(options, name):
            raise UsageError(f"--{name}: {where}")


def _draw_one(options: argparse.Namespace) -> list[str]:
    """A picture of --architecture in each format; returns what to tell."""
    architecture = _parsed(options)
    theme = DARK if options.dark else LIGHT
    written = []
    for path, kind in _targets(options, "architecture", "png", tuple(PICTURES)):
        extra = {"optimise": True} if kind == "png" and options.optimise else {}
        content = PICTURES[kind](architecture, theme, options.title, **extra)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content)
        written.append(str(path))
    return written


def _parsed(options: argparse.Namespace) -> AnyArchitecture:
    """The architecture; a number of layers says that it is a whole network."""
    if options.arc_length is None:
        return parse_any(options.architecture, options.search_for)
    if options.search_for == MICRO:
        raise UsageError(f"--arc-length: of whole networks, not of --search_for={MICRO}; cells "
                         "tell their nodes by themselves")
    return Architecture.parse(options.architecture, options.arc_length)


def _draw_search(options: argparse.Namespace) -> list[str]:
    """Film or pictures of a search, in each format; returns what to tell."""
    targets = _targets(options, "search", "mp4", (*FILMS, *PICTURES))
    for library in ("matplotlib", "networkx", "imageio_ffmpeg"):
        require(library)  # before anything is read or made
    history = search_history.read(options.source, options.arc_length)
    theme = DARK if options.dark else LIGHT
    written = []
    for path, kind in targets:
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "mp4":
            frames = animation.save_mp4(history, path, options.every or 1,
                                        options.fps or animation.MP4_FPS, theme)
        elif kind == "gif":
            frames = animation.save_gif(history, path, options.every,
                                        options.fps or animation.GIF_FPS, theme)
        else:
            paths = save_pictures(history, path.parent, kind, options.every or 1, options.dark)
            written.append(f"{paths[0]} ... {len(paths)} pictures")
            continue
        written.append(f"{path}  {frames} frames")
    return written


def _targets(options: argparse.Namespace, stem: str, default: str,
             allowed: tuple[str, ...]) -> list[tuple[Path, str]]:
    """The files to write, each with its format, from --output and --formats.

    Raises:
        UsageError: a format that does not suit, or one file for several.
    """
    output = options.output or Path("drawings")
    suffix = output.suffix[1:].lower()
    if suffix in (*FILMS, *PICTURES):
        if options.formats and set(options.formats) != {suffix}:
            raise UsageError(f"--output {output}: one file of one format; name a folder for "
                             "--formats")
        targets = [(output, suffix)]
        if stem == "search" and suffix in PICTURES:
            raise UsageError(f"--output {output}: a search has many pictures; name a folder and "
                             f"--formats {suffix}")
    else:
        kinds = dict.fromkeys(options.formats or [default])
        targets = [(output / f"{stem}.{kind}", kind) for kind in kinds]
    for path, kind in targets:
        if kind not in allowed:
            raise UsageError(f"{kind}: one architecture makes no film; use png, svg or pdf")
        if path.is_dir():
            raise UsageError(f"--output {path}: is a folder; remove it or name another file")
    return targets


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aerobi draw", description=__doc__, epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, nargs="?", metavar="SEARCH",
                        help="a run directory, a log, or arc_string_output.txt")
    parser.add_argument("--architecture", metavar='"0 5 0 ..."',
                        help="draw this one in place of a search")
    parser.add_argument("--output", type=Path, metavar="PATH",
                        help="a folder, or a file such as x.mp4 (default: drawings)")
    parser.add_argument("--formats", nargs="+", choices=(*FILMS, *PICTURES), metavar="KIND",
                        help="mp4, gif, png, svg, pdf (default: mp4; of one architecture png)")
    parser.add_argument("--every", type=positive, metavar="K",
                        help="every K-th architecture (default: all; in a GIF at most "
                             f"{animation.GIF_FRAMES})")
    parser.add_argument("--fps", type=number(0.1, 120), metavar="F",
                        help=f"frames a second (default: {animation.MP4_FPS:g}; GIF "
                             f"{animation.GIF_FPS:g})")
    parser.add_argument("--arc-length", type=positive, metavar="N",
                        help="layers (default: as in the run's config.json, else 7)")
    parser.add_argument("--search_for", choices=(MACRO, MICRO),
                        help="the space of --architecture, a whole network or two cells "
                             "(default: what its count of numbers tells; 120 could be either)")
    parser.add_argument("--title", default="", help="above one architecture")
    parser.add_argument("--dark", action="store_true", help="light on dark")
    parser.add_argument("--optimise", action="store_true",
                        help="PNG with 256 colours: a third of the size")
    return parser
