"""Parameters and multiply-adds by formula, against graphs that are really built."""

import numpy as np
import pytest
import tensorflow.compat.v1 as tf
from graph_costs import costs_of_graph

from AEROBI.config import ChildConfig, DataConfig
from AEROBI.image_ops import LayerMode
from AEROBI.micro.cells import MicroArchitecture
from AEROBI.micro.cost import cells_cost, step_memory
from AEROBI.micro.micro_child import fixed_micro_child, shared_micro_child


@pytest.mark.parametrize("num_layers, nodes, img_size, seed", [
    (3, 3, 9, 1), (5, 1, 8, 2)])
def test_against_the_graph(num_layers, nodes, img_size, seed):
    architecture = MicroArchitecture.random(nodes, np.random.default_rng(seed))
    config = ChildConfig(num_layers, 4, 5, 6, search_for="micro", num_cells=nodes,
                         fixed_arc=tuple(architecture.numbers()))
    fixed_micro_child(tf.placeholder(tf.uint8, [1, img_size, img_size, 3]), config,
                      LayerMode("NHWC", False, 0))
    assert cells_cost(architecture, config, img_size) == costs_of_graph()


def test_memory_counts_all_shared_weights():
    config = ChildConfig(3, 4, 5, 6, search_for="micro", num_cells=1)
    shared_micro_child(tf.zeros([1, 8, 8, 3]), tf.zeros([8], tf.int32), config,
                       LayerMode("NHWC", False, 0))
    weights = 4 * sum(np.prod(v.shape.as_list()) for v in tf.trainable_variables()
                      if v.shape.ndims == 4 and "stem" not in v.op.name)
    small, large = (step_memory(config, DataConfig("", img_size=8, batch_size=images))
                    for images in (1, 3))
    assert large - small == 2 * (small - 3 * weights)
