"""The resolved configuration of a run: frozen dataclasses, no behaviour beyond derived values."""

from dataclasses import dataclass, replace

QUIRKS = {
    "late_binding": "every operation number computes the last operation",
    "no_clipping": "gradients are clipped, then the unclipped ones are applied",
    "dense_separable": "the final child builds its separable convolutions as plain ones",
    "random_eval": "validation and test use random crops from an endless queue in whole batches",
    "restart_step": "the first step of a restart is 1 / T_mul down the cosine: halfway for 2",
    "aliased_scaling": "images are scaled by TensorFlow 1's bilinear rule, without antialiasing",
}

PRECISIONS = ("float32", "bfloat16", "float16")  # values of --precision
REWARDS = ("exact_match", "mean_ap", "negative_loss")  # values of --controller_reward
POLICY, UNIFORM = SAMPLINGS = ("policy", "uniform")  # values of --child_sampling
MOVING, OTHERS = BASELINES = ("moving", "others")  # values of --controller_baseline
STOP, SKIP = "stop", "skip"  # values of --on_nan
MACRO, BRANCH, CONNECTION, MICRO = SEARCH_SPACES = (  # values of --search_for
    "macro", "branch", "connection", "micro")


class ConfigError(ValueError):
    """A flag, or a combination of flags, that cannot be run; the message names the flag."""


@dataclass(frozen=True)
class DataConfig:
    """Where the images come from and how they become batches."""

    data_path: str
    cache_dir: str = ""
    img_size: int = 224  # pixels, side of a patch
    batch_size: int = 32
    cutout_size: int | None = None  # pixels
    random_eval: bool = False
    aliased_scaling: bool = False


class Choice:
    """What a child and its controller both know of what is chosen."""

    search_for: str  # one of SEARCH_SPACES
    num_branches: int

    @property
    def operations_drawn(self) -> int:
        """How many operations are drawn from: all that are there, or operation 0 alone."""
        return 1 if self.search_for == CONNECTION else self.num_branches


@dataclass(frozen=True)
class ChildConfig(Choice):
    """Size of a child, search or final."""

    num_layers: int
    out_filters: int  # of the stem
    num_branches: int  # operations to choose from
    num_classes: int  # of the data set
    keep_prob: float = 0.5
    data_format: str = "NHWC"
    fixed_arc: tuple[int, ...] | None = None  # trained alone; None: a search
    network: str | None = None  # "final" or "search"; None: as published
    late_binding: bool = False
    dense_separable: bool = False
    precision: str = "float32"  # of feature maps; weights and updates are float32 always
    search_for: str = MACRO  # one of SEARCH_SPACES
    num_cells: int = 5  # nodes of a cell, of MICRO
    drop_path_keep_prob: float = 1.0  # of the last layer at the end of training, of MICRO
    use_aux_heads: bool = False  # in training, of MICRO

    @property
    def is_search(self) -> bool:
        """Whether the network holds all operations, to be searched, and not one architecture."""
        return self.fixed_arc is None

    def without_drops(self) -> "ChildConfig":
        """The same child, of which training drops nothing, and that has no auxiliary head."""
        return replace(self, keep_prob=1.0, drop_path_keep_prob=1.0, use_aux_heads=False)

    @property
    def built_as(self) -> str:
        """The structure: "search" for a search and "final" for one architecture, unless named.

        Cells are stacked in the same way in both.
        """
        if self.search_for == MICRO:
            return "final"
        return self.network or ("search" if self.fixed_arc is None else "final")


@dataclass(frozen=True)
class TrainConfig:
    """How a child learns (ENAS, section 3.2; Loshchilov and Hutter, 2017)."""

    l2_reg: float = 1e-4
    grad_bound: float = 5.0  # largest norm of one tensor's gradient
    momentum: float = 0.9
    lr: float = 0.1
    lr_dec_every: int = 100  # epochs
    lr_dec_rate: float = 0.1
    lr_cosine: bool = False
    lr_per_step: bool = False  # the cosine follows the steps, not whole epochs
    lr_max: float | None = None
    lr_min: float | None = None
    lr_T_0: int | None = None  # epochs
    lr_T_mul: int | None = None
    no_clipping: bool = False
    restart_step: bool = False


@dataclass(frozen=True)
class ControllerConfig(Choice):
    """The sampler and its REINFORCE update (ENAS, section 2.2)."""

    num_layers: int = 5
    num_branches: int = 4
    search_for: str = MACRO  # one of SEARCH_SPACES
    num_cells: int = 5  # nodes of a cell, of MICRO
    op_tanh_reduce: float = 1.0  # divides the tanh constant of operations, of MICRO
    lstm_size: int = 64
    lstm_num_layers: int = 2
    tanh_constant: float | None = None
    temperature: float | None = None
    lr: float = 1e-3
    l2_reg: float = 0.0
    entropy_weight: float | None = None
    bl_dec: float = 0.99
    skip_target: float = 0.8
    skip_weight: float = 0.0
    num_aggregate: int = 1
    sync_replicas: bool = False
    train_steps: int = 50
    train_every: int = 2  # epochs
    training: bool = True
    child_sampling: str = POLICY  # who draws what the child is trained on: one of SAMPLINGS
    alone_epochs: int = 0  # that each sampled architecture is trained for, sharing no weights
    warmup_epochs: int = 0  # of the child, before the first phase
    reward: str = "exact_match"  # what a sample is worth: one of REWARDS
    reward_bn: str = "moving"  # statistics that it is scored with: "moving" or "batch"
    reward_images: int | None = None  # that it is scored on; None: a batch
    reward_scale: float = 1.0
    baseline: str = MOVING  # what a reward is compared with: one of BASELINES

    @property
    def samples_per_update(self) -> int:
        """Architectures whose gradients one update averages."""
        return self.num_aggregate if self.sync_replicas else 1

    @property
    def updates_per_phase(self) -> int:
        """Updates in one controller phase, of train_steps * num_aggregate samples."""
        return self.train_steps * self.num_aggregate // self.samples_per_update


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides what a run computes, and where it writes."""

    output_dir: str
    data: DataConfig
    child: ChildConfig
    train: TrainConfig
    controller: ControllerConfig
    num_epochs: int = 300
    log_every: int = 50  # steps
    eval_every_epochs: int = 1
    seed: int = 0
    deterministic: bool = False
    checkpoint_secs: float = 300.0
    init_from: str = ""  # run directory of a search whose shared weights are the first ones
    on_nan: str = STOP  # what follows a step whose loss or gradient is not finite
    xla: bool = False  # compile what the processor runs
    early_stopping_epochs: int = 0  # without a better validation exact match; 0: never

    @property
    def reward_images(self) -> int:
        """Validation images that a sample of the controller is scored on."""
        return self.controller.reward_images or self.data.batch_size

    @property
    def is_search(self) -> bool:
        """Whether the run searches for architectures, and does not train a given one."""
        return self.child.is_search

    @property
    def alone_epochs(self) -> int:
        """Of each training in a search whose architectures share no weights; else 0."""
        return self.controller.alone_epochs if self.is_search else 0

    @property
    def training_epochs(self) -> int:
        """From new weights to the end of a training: what its schedules run over."""
        return self.alone_epochs or self.num_epochs
