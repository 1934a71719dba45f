"""The two published experiments as flags: the search and the final training.

These lists are the only place where the values stand: `aerobi search` and `aerobi final` begin with
them, and so do scripts/AEROBI_macro_search.sh and scripts/AEROBI_macro_final.sh, which begin anew
where the commands go on with the run that is in the output folder.
"""

from AEROBI.architecture import SHIPPED

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
SEARCH = (
    *_BOTH,
    "--output_dir=outputs",
    "--num_epochs=310",
    "--controller_training",
)
FINAL = (
    *_BOTH,
    "--output_dir=outputs_2",
    "--num_epochs=150",
    "--nocontroller_training",
    f"--child_fixed_arc={SHIPPED}",
)
