"""A search space as graphs: who builds its children, and who walks its decisions."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import tensorflow.compat.v1 as tf

from AEROBI import general_child, general_controller, shared_final_child
from AEROBI.architecture import Architecture
from AEROBI.config import MICRO, ChildConfig, ControllerConfig
from AEROBI.final_child import final_child
from AEROBI.general_controller import Sampler
from AEROBI.image_ops import LayerMode
from AEROBI.micro import micro_child
from AEROBI.micro.micro_controller import MICRO_SAMPLER
from AEROBI.models import ChildLogits
from AEROBI.search_space.spaces import AnyArchitecture

# (images, architecture int32 [D], config, mode, dropout seed) → logits float32 [N, classes].
Child = Callable[[tf.Tensor, tf.Tensor, ChildConfig, LayerMode, tf.Tensor | None], ChildLogits]


class Networks(NamedTuple):
    """What a search space is to TensorFlow."""

    child: Child  # of `config.fixed_arc` where there is one; else of all that share weights
    # (names, architecture int32 [D], config) → name → bool [], whether the architecture uses the
    # variable, for those that not every one uses.
    used_variables: Callable[[Iterable[str], tf.Tensor, ChildConfig], dict[str, tf.Tensor]]
    # (name in the final child, architecture, config) → the shared variables that it is made of.
    shared_names: Callable[[str, AnyArchitecture, ChildConfig], tuple[str, ...]]
    sampler: Sampler  # how a controller decides


def networks_of(config: ChildConfig | ControllerConfig) -> Networks:
    """The graphs of the space whose architectures a child is built for, or a controller draws."""
    if config.search_for == MICRO:
        return Networks(_micro_child, micro_child.used_variables, micro_child.shared_names,
                        MICRO_SAMPLER)
    return Networks(_macro_child, _used_variables, _shared_names,
                    general_controller.MACRO_SAMPLER)


def _micro_child(images: tf.Tensor, arc: tf.Tensor, config: ChildConfig, mode: LayerMode,
                 dropout_seed: tf.Tensor | None) -> ChildLogits:
    if config.is_search:
        return micro_child.shared_micro_child(images, arc, config, mode, dropout_seed)
    return micro_child.fixed_micro_child(images, config, mode, dropout_seed)


def _macro_child(images: tf.Tensor, arc: tf.Tensor, config: ChildConfig, mode: LayerMode,
                 dropout_seed: tf.Tensor | None) -> ChildLogits:
    if config.is_search:
        shared = {"search": general_child.search_child,
                  "final": shared_final_child.shared_final_child}[config.built_as]
        return ChildLogits(shared(images, arc, config, mode, dropout_seed))
    fixed = {"search": general_child.fixed_search_child, "final": final_child}[config.built_as]
    return ChildLogits(fixed(images, config, mode, dropout_seed))


def _used_variables(names: Iterable[str], arc: tf.Tensor,
                    config: ChildConfig) -> dict[str, tf.Tensor]:
    of_child = {"search": general_child, "final": shared_final_child}[config.built_as]
    return of_child.used_variables(names, arc, config)


def _shared_names(final_name: str, architecture: Architecture,
                  _: ChildConfig) -> tuple[str, ...]:
    return shared_final_child.shared_names(final_name, architecture)
