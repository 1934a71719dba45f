"""`aerobi select`: ranks architectures of a finished search, and says which one to keep."""

import argparse
import dataclasses
import logging
import pathlib
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tqdm import tqdm

from AEROBI.commands.arguments import patch_side, positive, whole_number
from AEROBI.commands.outcome import UsageError, finish
from AEROBI.config import DataConfig
from AEROBI.records import ranking
from AEROBI.records.ranking import Ranking
from AEROBI.run.run_dir_checks import HALVING

if TYPE_CHECKING:
    from AEROBI.config import RunConfig
    from AEROBI.selection.candidate_training import Trainings
    from AEROBI.selection.select import Budget

SHOWN = 10  # lines of the table
MOST_SAMPLES = 100_000
TRAINED = 8  # candidates of --train
DRAWN = 10  # for each one that --add_random trains
DESCRIPTION = """\
Samples architectures of a finished search, scores each on the whole validation
split with the shared weights, or, where there are none, by what the search's
own short trainings let expect, and ranks them. --train goes on with real
trainings of the best ones (successive halving): a few epochs each, more for the
better ones, ... Flags of these trainings stand behind --, on top of the final
preset and the search's data and size. Started again, or several times at once,
it shares and continues the work. With --policy random --train, SEARCH may be a
new folder: random search, with data and size behind --."""
EXAMPLE = """\
examples:
  aerobi select outputs
  aerobi select outputs --train 8 -- --num_epochs=40 --child_lr_max=0.03
  aerobi select chance --policy random --train 8 -- --data_path=data --img_size=64"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `aerobi select` with the words after it; returns the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    cut = argv.index("--") if "--" in argv else len(argv)
    options, words = _parser().parse_args(argv[:cut]), argv[cut + 1:]
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)  # the trainings' own words go into their folders
    logging.basicConfig(format="%(message)s", handlers=[handler])
    return finish(lambda: _run(options, words))


def _run(options: argparse.Namespace, words: Sequence[str]) -> int:
    from AEROBI.training.stopping import Stopped

    try:
        return _train(options, words) if options.train else _rank(options, words)
    except (KeyboardInterrupt, Stopped) as stopped:
        goes_on = " The same command goes on from there." if options.train else ""
        sys.stderr.write(f"Stopped.{goes_on}\n")
        return 128 + getattr(stopped, "signal_number", signal.SIGINT)


def _rank(options: argparse.Namespace, words: Sequence[str]) -> int:
    """Ranks by the search alone, writes the ranking and shows it."""
    if words:
        raise UsageError(f"{words[0]}: flags behind -- are those of trainings; add --train")
    folder = options.search if options.search.is_dir() else options.search.parent
    output = options.output or folder / ranking.FILE
    if not output.parent.is_dir():
        raise UsageError(f"{output.parent}: no such folder; name the --output_dir of a search")
    found = _by_search(options)
    ranking.save(output, found)
    sys.stdout.write(f"{_scored_line(options, found)}\n"
                     f"{ranking.table(found.architectures[:options.top], found.architectures)}\n"
                     f"{output}\n")
    return 0


def _train(options: argparse.Namespace, words: Sequence[str]) -> int:
    """Ranks by real training of the best, writes the ranking and shows it."""
    from AEROBI.data_utils import read_data_set
    from AEROBI.selection.candidate_training import Trainings
    from AEROBI.selection.real_training import Wanted, train_candidates
    from AEROBI.selection.training_flags import training_values, training_words, what_is_computed

    search = _search_config(options)
    words = training_words(words, search)
    values = training_values(words)
    folder = options.search if options.search.is_dir() or search is None else options.search.parent
    trainings = Trainings(options.trainings or folder / HALVING, values,
                          read_data_set(values["data_path"]), options.measure)
    asked = {**{name: getattr(options, name) for name in (
        "train", "samples", "bn", "policy", "rank_by", "max_parameters", "max_multiply_adds",
        "eta", "rungs", "annealed", "add_random",
        "measure")}, "search": _weights(options), **what_is_computed(values)}
    rank = _ranker(options, search, trainings)
    wanted = Wanted(options.train, options.add_random, options.eta, options.rungs,
                    options.annealed)
    found = train_candidates(rank, wanted, asked, trainings,
                             lambda line: tqdm.write(line, sys.stdout))
    output = options.output or folder / ranking.FILE
    ranking.save(output, found)
    sys.stdout.write(f"{ranking.trained_table(found.architectures)}\n"
                     f"{_summary(found, words)}\n{output}\n")
    return 0


def _ranker(options: argparse.Namespace, search: "RunConfig | None",
            trainings: "Trainings") -> Callable[[], Ranking]:
    """What makes the ranking: the search, or without one nothing but chance."""
    if search is not None:
        return lambda: _by_search(options)

    def draw() -> Ranking:
        from AEROBI.search_space.spaces import space_of_values
        from AEROBI.selection.candidate_training import configured
        from AEROBI.selection.select import draw_without_weights

        space = space_of_values(trainings.values)
        any_one = space.from_numbers([0] * space.decisions)
        config, _ = configured(trainings, any_one, "any")
        images = len(trainings.data_set.splits["val"].paths)
        return draw_without_weights(config, options.samples, options.train, images,
                                    _budget(options))

    return draw


def _by_search(options: argparse.Namespace) -> Ranking:
    from AEROBI.selection.select import Draws, select

    draws = Draws(options.samples, options.policy, DRAWN * options.add_random)
    found = select(options.search, draws, options.bn, _data(options), _budget(options))
    return ranking.in_order(found, options.rank_by)


def _search_config(options: argparse.Namespace) -> "RunConfig | None":
    """What the named search was; None where random search begins in a folder of its own."""
    from AEROBI.flags.from_published_checkpoint import prefix_of, search_of
    from AEROBI.flags.from_run_dir import is_run, stored_search

    prefix = prefix_of(options.search)
    if prefix is not None:
        data = _data(options)
        if data is None:
            raise UsageError(f"{options.search}: a checkpoint does not say what it was trained "
                              "on; give --data_path")
        return search_of(prefix, data)
    if options.policy == "random" and not is_run(options.search):
        return None
    config = stored_search(options.search).config
    if not options.data_path:
        return config
    return dataclasses.replace(config, data=dataclasses.replace(
        config.data, data_path=options.data_path))


def _weights(options: argparse.Namespace) -> str | None:
    """The checkpoint that candidates are scored with, by name."""
    from AEROBI.flags.from_published_checkpoint import prefix_of
    from AEROBI.flags.from_run_dir import is_run
    from AEROBI.run.restore import newest_checkpoint
    from AEROBI.run.run_dir_checks import CHECKPOINTS

    prefix = prefix_of(options.search)
    if prefix is None and is_run(options.search):
        prefix = newest_checkpoint(options.search / CHECKPOINTS)
    return None if prefix is None else prefix.name


def _scored_line(options: argparse.Namespace, found: Ranking) -> str:
    return (f"{len(found.architectures)} different architectures of {options.samples} from the "
            f"{found.policy}'s policy, scored on {found.images} validation images by "
            f"{found.judged_by}")


def _summary(found: Ranking, words: Sequence[str]) -> str:
    """What it cost, and what to do with the winner."""
    halving, best = found.halving, found.architectures[0]
    run_dir = pathlib.Path(halving.folder) / best.trained.run_dir
    if best.trained.exact_match is None:
        raise UsageError(f"{halving.folder}: every training failed; give other flags behind --")
    cost = f"{halving.cpu_minutes:.2f} CPU minutes for scoring and training, by all processes"
    if best.trained.epochs >= halving.num_epochs:
        return f"{cost}\nthe best is trained: aerobi evaluate {shlex.quote(str(run_dir))}"
    final = shlex.join(["aerobi", "final", *words, f"--output_dir={run_dir}",
                        f"--child_fixed_arc={best.architecture}"])
    return f"{cost}\ngo on with the training of the best: {final}"


def _budget(options: argparse.Namespace) -> "Budget":
    from AEROBI.selection.select import Budget

    return Budget(options.max_parameters, options.max_multiply_adds)


def _data(options: argparse.Namespace) -> DataConfig | None:
    if not options.data_path:
        return None
    return DataConfig(options.data_path, img_size=options.img_size)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="aerobi select", description=DESCRIPTION, epilog=EXAMPLE,
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=28, width=100),
        usage="aerobi select SEARCH [options] [-- flags of the trainings]")
    add = parser.add_argument
    add("search", type=pathlib.Path, metavar="SEARCH", help="output_dir of a search, or the "
        "prefix of a checkpoint of the published code")
    add("--samples", type=whole_number(1, MOST_SAMPLES), default=100, metavar="N",
        help="architectures to draw (100)")
    add("--policy", choices=ranking.POLICIES, default=ranking.POLICIES[0], help="who draws")
    add("--bn", choices=ranking.BN_MODES, default=ranking.BN_MODES[0], help="BN statistics: means "
        "over training batches the architecture alone has seen (default), the search's, a batch's")
    add("--rank_by", choices=ranking.MEASURES, default=ranking.MEASURES[0], help="measure")
    add("--max_parameters", type=positive, metavar="N", help="of the final child")
    add("--max_multiply_adds", type=positive, metavar="N", help="for one patch")
    add("--top", type=positive, default=SHOWN, metavar="N", help=f"table's lines ({SHOWN})")
    add("--output", type=pathlib.Path, metavar="FILE",
        help=f"{ranking.FILE} in SEARCH unless given")
    add("--data_path", default="", help="data set, where the search does not say")
    add("--img_size", type=patch_side, default=224, metavar="PIXELS", help="with it (224)")
    group = parser.add_argument_group("real training")
    group.add_argument("--train", type=positive, nargs="?", const=TRAINED, metavar="K", help="the "
                       f"best K ({TRAINED}), and the controller's most likely one")
    group.add_argument("--eta", type=whole_number(2), default=2, metavar="N",
                       help="one of N goes on (2)")
    group.add_argument("--rungs", type=_rungs, metavar="E,E,...", help="epochs after which some "
                       "are dropped; default: all of a training, 1 / eta of them, ...")
    group.add_argument("--annealed", action=argparse.BooleanOptionalAction, default=True,
                       help="each rung is a training of its own, its learning rate down at its "
                       "end (default); else it goes on with the one before")
    group.add_argument("--add_random", type=whole_number(0, MOST_SAMPLES), default=0, metavar="N",
                       help=f"train the best N of {DRAWN} N uniformly random ones as well: "
                       "the policy repeats the bias of the shared weights")
    group.add_argument("--measure", choices=ranking.TRAINED_MEASURES, default=ranking.MEASURES[0],
                       help="on validation, of the best epoch; loss is the least noisy one")
    group.add_argument("--trainings", type=pathlib.Path, metavar="FOLDER",
                       help=f"of the trainings; SEARCH/{HALVING} unless given")
    return parser


def _rungs(text: str) -> tuple[int, ...]:
    return tuple(map(positive, text.split(",")))


if __name__ == "__main__":
    sys.exit(main())
