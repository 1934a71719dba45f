"""Parameters and multiply-adds, counted, against the graph that is really built."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from graph_costs import costs_of_graph

from AEROBI.architecture import ENAS_1, SHIPPED, Architecture, flat_length
from AEROBI.config import ChildConfig, DataConfig
from AEROBI.cost import final_child_cost, step_memory
from AEROBI.final_child import final_child
from AEROBI.flags.from_run_dir import stored_run
from AEROBI.general_child import search_child
from AEROBI.image_ops import LayerMode
from AEROBI.search_space.spaces import cost_of_run


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("text, layers, img_size", [
    (ENAS_1, 7, 32), (SHIPPED, 7, 33), ("3 4 1 1 0 1", 3, 17), ("2 5 1", 2, 9)])
def test_the_same_as_in_the_graph(text, layers, img_size, dense):
    architecture = Architecture.parse(text, layers)
    config = ChildConfig(layers, 8, 6, 4, fixed_arc=tuple(architecture.numbers()),
                         dense_separable=dense)
    final_child(tf.placeholder(tf.uint8, [1, img_size, img_size, 3]), config,
                LayerMode("NHWC", False, 0))
    assert final_child_cost(architecture, 8, img_size, 4, dense) == costs_of_graph()


@pytest.mark.parametrize("text, dense, expected", [
    (ENAS_1, True, 3_402_944), (SHIPPED, True, 2_718_144),
    (ENAS_1, False, 1_314_496), (SHIPPED, False, 2_328_128)])
def test_published_parameter_counts(text, dense, expected):
    assert final_child_cost(Architecture.parse(text, 7), 64, 224, 6, dense).parameters == expected


def weights_of_graph(config: ChildConfig) -> int:
    """Trainable parameters of a search child."""
    search_child(tf.zeros([1, 16, 16, 3]), tf.zeros([flat_length(config.num_layers)], tf.int32),
                 config, LayerMode("NHWC", False, 0))
    return sum(np.prod(v.shape.as_list()) for v in tf.trainable_variables())


@pytest.mark.parametrize("layers", [1, 3, 7])
def test_a_step_needs_at_least_three_copies_of_the_weights(layers):
    """Never more than there are: a network that could be trained must not be refused."""
    config = ChildConfig(layers, 64, 6, 4)
    counted = step_memory(config, DataConfig("", img_size=8, batch_size=1))
    held = 3 * 4 * weights_of_graph(config)
    assert 0.9 * held < counted < held + 4 * 2 * 64 * 8 * 8 * (layers + 20)


def test_feature_maps_grow_with_batch_and_patch_and_shrink_with_precision():
    def maps(batch: int, size: int, precision: str = "float32") -> int:
        config = ChildConfig(7, 64, 6, 4, precision=precision)
        small, large = (step_memory(config, DataConfig("", img_size=size, batch_size=images))
                        for images in (1, 1 + batch))
        return large - small
    assert maps(32, 64) == 2 * maps(16, 64) == 2 * maps(32, 64, "bfloat16")
    assert maps(8, 128) == 4 * maps(8, 64)
    assert maps(16, 224) > 16 * 4 * 2 * 64 * 224 * 224 * 2


def test_of_a_run_it_is_the_network_that_was_trained(tiny_final):
    reader = tf.train.load_checkpoint(str(tiny_final / "best"))
    trained = sum(np.prod(shape) for name, shape in reader.get_variable_to_shape_map().items()
                  if name.startswith("child/") and "/moving_" not in name)
    assert cost_of_run(stored_run(tiny_final).config).parameters == trained
