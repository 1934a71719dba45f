"""The command `aerobi`: one word for each thing the package does, thin over its modules."""

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from AEROBI import __version__
from AEROBI.run.held_stderr import run_quietly

USAGE_ERROR = 2


class Command(NamedTuple):
    """One word: where its function is, and whose recipe stands before the user's arguments."""

    module: str
    help: str
    recipe: str = ""  # "search" or "final" of `presets.words`


COMMANDS = {
    "sample-data": Command("commands.sample_data", "make a small data set to try everything on"),
    "pack": Command("commands.pack", "scale the images of a data set once"),
    "search": Command("main", "search for architectures", "search"),
    "select": Command("commands.select", "rank architectures of a finished search"),
    "final": Command("main", "train one architecture", "final"),
    "evaluate": Command("commands.evaluate", "measure a trained network on a split"),
    "predict": Command("commands.predict", "say what is on photographs"),
    "export": Command("commands.export", "write a trained network as SavedModel and TFLite"),
    "report": Command("commands.report", "show a run as one HTML page"),
    "draw": Command("commands.draw", "draw architectures, as pictures and as video"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command in `argv`, without a word from TensorFlow itself; returns its exit status.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    return run_quietly(lambda: _run(words))


def _run(argv: Sequence[str]) -> int:
    word = argv[0] if argv else "--help"
    if word in ("--help", "-h", "help"):
        sys.stdout.write(usage())
        return 0
    if word == "--version":
        sys.stdout.write(f"aerobi {__version__}\n")
        return 0
    if word not in COMMANDS:
        sys.stderr.write(f"Error: {word!r} is not a command\n\n{usage()}")
        return USAGE_ERROR
    # Imported here, as is all that takes time: a Ctrl-C meanwhile is one line as well.
    from AEROBI.config import ConfigError
    from AEROBI.flags import presets

    command = COMMANDS[word]
    run: Callable[[Sequence[str]], int] = importlib.import_module(
        f"AEROBI.{command.module}").main
    try:
        words = presets.words(command.recipe, argv[1:]) if command.recipe else argv[1:]
    except ConfigError as error:
        sys.stderr.write(f"Error: {error}\n")
        return USAGE_ERROR
    return run(words)


def usage() -> str:
    """The commands, one a line, and an example."""
    lines = [f"  {word:12s} {command.help}" for word, command in COMMANDS.items()]
    return "\n".join([
        "usage: aerobi COMMAND ... (aerobi COMMAND --help explains each)", "", *lines, "",
        "example:",
        "  aerobi sample-data --output data",
        "  aerobi search --data_path=data --output_dir=outputs --img_size=64 --num_epochs=60",
        "  aerobi select outputs",
        "  aerobi final --data_path=data --img_size=64 --child_fixed_arc=outputs#best",
        "  aerobi predict outputs_2 photo.jpg", "",
        "search and final begin with the flags of a recipe: --recipe=tuned unless they are given",
        "--recipe=published, those of the CODEBRIM paper, or, of a search, --recipe=shared:",
        "all architectures share one set of weights", ""])


if __name__ == "__main__":
    sys.exit(main())
