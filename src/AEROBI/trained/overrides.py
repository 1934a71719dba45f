"""What the user says of a model that its files do not say."""

from typing import NamedTuple


class Overrides(NamedTuple):
    """What the user says of a model; None: what the model says."""

    fixed_arc: str | None = None  # as --child_fixed_arc
    img_size: int | None = None  # pixels
    last: bool = False  # the weights of the last epoch, not those best on validation
    aliased_scaling: bool | None = None  # how photographs become patches, see `patches.scale`
    trusted: bool = False  # an exported model may hold any operation


class DataPlace(NamedTuple):
    """Where the images are; empty: where the model's own run had them."""

    data_path: str = ""  # a folder or a CSV file
    cache_dir: str = ""  # folder of the packed images


AS_THE_MODEL_SAYS = Overrides()
AS_THE_RUN_HAD = DataPlace()
