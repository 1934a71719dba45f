"""Recipes: the flags of a search and of a final training, before those of the user.

*published*: the two experiments of the CODEBRIM paper; scripts/AEROBI_macro_search.sh and
scripts/AEROBI_macro_final.sh begin with them. With --search_for=micro those of ENAS, smaller;
scripts/AEROBI_micro_search.sh and scripts/AEROBI_micro_final.sh begin with them. *tuned*: what was
measured to find and train better (README); `aerobi search`, `aerobi final` and the real trainings
of `aerobi select` begin with it. *shared*, of a search: the best with shared weights. These lists
are the only place where the values stand.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from AEROBI.architecture import SHIPPED
from AEROBI.config import MICRO, ConfigError
from AEROBI.flags import table
from AEROBI.micro.cells import ENAS_CELLS

_BOTH = (
    "--search_for=macro",
    "--batch_size=16",
    "--log_every=50",
    "--eval_every_epochs=1",
    "--child_num_layers=7",
    "--child_out_filters=64",
    "--child_num_branches=6",
    "--child_keep_prob=0.50",
    "--child_l2_reg=0.0005",
    "--child_lr_cosine",
    "--child_lr_max=0.01",
    "--child_lr_min=0.00001",
    "--child_lr_T_0=10",
    "--child_lr_T_mul=2",
    "--controller_search_whole_channels",
    "--controller_entropy_weight=0.0001",
    "--controller_train_every=1",
    "--controller_sync_replicas",
    "--controller_num_aggregate=20",
    "--controller_train_steps=40",
    "--controller_lr=0.001",
    "--controller_tanh_constant=1.5",
    "--controller_skip_target=0.4",
    "--controller_skip_weight=0.8",
)
PUBLISHED_SEARCH = (
    *_BOTH,
    "--output_dir=outputs",
    "--num_epochs=310",
    "--controller_training",
)
PUBLISHED_FINAL = (
    *_BOTH,
    "--output_dir=outputs_2",
    "--num_epochs=150",
    "--nocontroller_training",
    f"--child_fixed_arc={SHIPPED}",
)
# No dropout and ten times the learning rate: the children of the published recipe are not trained
# when it ends, and two trainings of one architecture differ as much as two architectures do.
_TUNED = (
    "--child_keep_prob=1.0",
    "--child_lr_max=0.1",
    "--child_lr_per_step",
)
_BOTH_SEARCHES = (
    *_TUNED,
    "--child_network=final",  # what is searched is what is trained
    "--controller_reward=mean_ap",
    "--controller_baseline=others",
    "--controller_num_aggregate=10",
    "--controller_lr=0.01",
    "--controller_tanh_constant=2.5",
)
_TUNED_SEARCH = (
    *_BOTH_SEARCHES,
    "--num_epochs=156",  # 52 architectures,
    "--child_alone_epochs=3",
    "--controller_train_every=12",  # four of them from each phase to the next
    "--eval_every_epochs=12",
    "--controller_train_steps=40",
    "--controller_entropy_weight=0.3",
    "--controller_skip_target=0.5",
    "--controller_skip_weight=0.8",
)
# The same with shared weights: what ranks best with these, and less well than trainings alone.
_SHARED_SEARCH = (
    *_BOTH_SEARCHES,
    "--num_epochs=40",
    "--child_lr_min=0.01",
    "--eval_every_epochs=10",
    "--child_sampling=uniform",
    "--controller_reward_bn=batch",
    "--controller_reward_images=200",
    "--controller_reward_scale=30",
    "--controller_train_steps=5",
    "--controller_skip_weight=0",
)
_TUNED_FINAL = (*_TUNED, "--num_epochs=60")
TUNED_SEARCH = (*PUBLISHED_SEARCH, *_TUNED_SEARCH)
SHARED_SEARCH = (*PUBLISHED_SEARCH, *_SHARED_SEARCH)
TUNED_FINAL = (*PUBLISHED_FINAL, *_TUNED_FINAL)

# Cells: the CIFAR-10 experiments of ENAS (Pham et al., 2018, section 3.2), made smaller for patches
# of 64 pixels, four times the area, and a CPU. Published are 6 and 15 layers, 20 and 36 filters,
# batches of 160 and 144, 150 and 630 epochs. The learning rate goes with the batch: 0.05 for 160 is
# 0.01 for 32. The published search passes a drop path of 0.60 and applies it nowhere.
_MICRO = (
    "--search_for=micro",
    "--img_size=64",
    "--batch_size=32",
    "--log_every=50",
    "--eval_every_epochs=1",
    "--child_num_branches=5",
    "--child_num_cells=5",
    "--child_use_aux_heads",
    "--child_lr_cosine",
    "--child_lr_max=0.01",
    "--child_lr_min=0.0001",
    "--child_lr_T_0=10",
    "--child_lr_T_mul=2",
    "--controller_search_whole_channels",
    "--controller_entropy_weight=0.0001",
    "--controller_train_every=1",
    "--controller_sync_replicas",
    "--controller_num_aggregate=10",
    "--controller_op_tanh_reduce=2.5",
)
MICRO_SEARCH = (
    *_MICRO,
    "--output_dir=outputs",
    "--num_epochs=150",
    "--child_num_layers=3",
    "--child_out_filters=12",
    "--child_l2_reg=0.0001",
    "--child_keep_prob=0.90",
    "--controller_training",
    "--controller_train_steps=30",
    "--controller_lr=0.0035",
    "--controller_tanh_constant=1.10",
)
MICRO_FINAL = (
    *_MICRO,
    "--output_dir=outputs_2",
    "--num_epochs=150",
    "--child_num_layers=6",
    "--child_out_filters=20",
    "--child_l2_reg=0.0002",
    "--child_keep_prob=0.80",
    "--child_drop_path_keep_prob=0.60",
    "--nocontroller_training",
    f"--child_fixed_arc={ENAS_CELLS}",
)
TUNED, SHARED, PUBLISHED = "tuned", "shared", "published"
_RECIPES = {
    "search": {TUNED: TUNED_SEARCH, SHARED: SHARED_SEARCH, PUBLISHED: PUBLISHED_SEARCH},
    "final": {TUNED: TUNED_FINAL, PUBLISHED: PUBLISHED_FINAL}}
# What was tuned for whole networks; nobody has measured it with cells.
_MICRO_RECIPES = {
    "search": {TUNED: (*MICRO_SEARCH, *_TUNED_SEARCH), SHARED: (*MICRO_SEARCH, *_SHARED_SEARCH),
               PUBLISHED: MICRO_SEARCH},
    "final": {TUNED: (*MICRO_FINAL, *_TUNED_FINAL), PUBLISHED: MICRO_FINAL}}
# Of the epochs of a search, those before the controller's first phase: shared weights rank after a
# thousand steps or so, a linear model has seen enough after some fifteen trainings.
_WARM_UP = {TUNED: 1 / 4, SHARED: 3 / 4}


def words(kind: str, given: Sequence[str]) -> list[str]:
    """The command line of a run: a recipe, of cells if the user asks for them, then what was given.

    But for the published recipe two flags follow --num_epochs, unless they are given: the learning
    rate comes down once in all epochs of a training, and the controller's first phase comes after
    a share of those of the search.

    Args:
        kind: "search" or "final".
        given: flags, among them perhaps --recipe=tuned, --recipe=shared or --recipe=published.

    Raises:
        ConfigError: no such recipe, or a flag that is none.
    """
    given, recipe = list(given), TUNED
    for word in [word for word in given if word.startswith("--recipe")]:
        given.remove(word)
        recipe = word.partition("=")[2]
    recipes = (_MICRO_RECIPES if _asks_for_cells(given) else _RECIPES)[kind]
    if recipe not in recipes:
        raise ConfigError(f"--recipe={recipe}: there are {', '.join(recipes)}")
    chosen = list(recipes[recipe])
    asks_for_help = {"--help", "-help", "-h", "--helpfull", "-helpfull"} & set(given)
    if recipe != PUBLISHED and not asks_for_help:
        chosen += _by_length(kind, recipe, table.parse([*chosen, *given]))
    return [*chosen, *given]


def _by_length(kind: str, recipe: str, values: Mapping[str, Any]) -> list[str]:
    """The flags that follow the epochs of a run and of a training."""
    epochs = values["num_epochs"]
    if kind == "final":
        return [f"--child_lr_T_0={epochs}"]
    return [f"--child_lr_T_0={values['child_alone_epochs'] or epochs}",
            f"--controller_warmup_epochs={int(epochs * _WARM_UP[recipe])}"]


def _asks_for_cells(given: Sequence[str]) -> bool:
    """Whether the last --search_for is for cells."""
    text = "=".join(given)  # also of a flag and its value as two words
    return [rest.partition("=")[0] for rest in text.split("--search_for=")[1:]][-1:] == [MICRO]
