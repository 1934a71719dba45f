"""The model of a step against hand-made numbers; sizes against the graphs themselves."""

import pathlib
import sys

import pytest
import tensorflow.compat.v1 as tf

from AEROBI.architecture import ENAS_1, SHIPPED, Architecture, flat_length
from AEROBI.config import ChildConfig
from AEROBI.final_child import final_child
from AEROBI.general_child import search_child
from AEROBI.image_ops import LayerMode

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "scripts/studies"))
import scaling
from scaling import Setting, Size, estimate, slowest


def counted() -> Size:
    """What the current graph has."""
    trainable = tf.trainable_variables()
    moving = [v for v in tf.global_variables() if v.op.name.endswith(
        ("moving_mean", "moving_variance"))]
    assert len(trainable) + len(moving) == len(tf.global_variables())
    return Size(*(sum(v.shape.num_elements() for v in some) for some in (trainable, moving)))


@pytest.mark.parametrize("branches, layers", [(6, 7), (4, 3)])
def test_size_of_the_search_child(branches, layers):
    config = ChildConfig(num_layers=layers, out_filters=8, num_branches=branches, num_classes=6)
    search_child(tf.zeros([2, 16, 16, 3]), tf.zeros([flat_length(layers)], tf.int32), config,
                 LayerMode("NHWC", False, 0))
    assert scaling.search_child_size(8, branches, layers) == counted()


@pytest.mark.parametrize("text", [ENAS_1, SHIPPED])
def test_size_of_a_final_child(text):
    architecture = Architecture.parse(text, 7)
    config = ChildConfig(num_layers=7, out_filters=8, num_branches=6, num_classes=6,
                         fixed_arc=tuple(architecture.numbers()))
    final_child(tf.zeros([2, 16, 16, 3]), config, LayerMode("NHWC", False, 0))
    assert scaling.final_child_size(architecture, 8) == counted()


def test_one_worker_is_one_process():
    result = estimate(Size(10**6, 10**3), 1, Setting(0.1, 16))
    assert (result.step_secs, result.images_per_sec, result.efficiency) == (0.1, 160, 1)


def test_a_step_by_hand():
    """8 MB each way on 8 Gbit/s, four workers on two servers: 2 * 8 MB * 2 at 1 GB/s."""
    size = Size(1_999_000, 1_000)
    setting = Setting(0.1, 16, servers=2, gigabits=8, spread=0.1, round_trip_secs=1e-3)
    found = estimate(size, 4, setting)
    assert found.step_secs == pytest.approx(0.1 * (1 + 0.1 * slowest(4)) + 0.032 + 0.003)
    assert found.images_per_sec == pytest.approx(64 / found.step_secs)
    assert found.efficiency == pytest.approx(0.1 / found.step_secs)


def test_a_servers_link_is_what_ends_the_gain():
    """So many images a second can never be passed, with however many workers."""
    size, setting = Size(10**7, 0), Setting(0.1, 16, gigabits=10, spread=0)
    bound = 16 * 10e9 / 8 / (2 * size.bytes_each_way)
    rates = [estimate(size, k, setting).images_per_sec for k in scaling.WORKERS]
    assert rates[-1] < bound < 1.05 * rates[-1]
    more = Setting(0.1, 16, gigabits=10, spread=0, servers=256)
    assert estimate(size, 256, more).images_per_sec > 50 * rates[-1]


@pytest.mark.parametrize("workers, expected", [(2, 0.564), (10, 1.539), (100, 2.508)])
def test_expected_maximum_of_normal_numbers(workers, expected):
    """Tippett's table (1925)."""
    assert slowest(workers) == pytest.approx(expected, abs=0.03)


def test_advice_says_where_to_stop_and_what_then():
    size = Size(10**6, 0)
    slow, fast = Setting(0.1, 16, gigabits=1), Setting(10.0, 16, gigabits=100, spread=1e-9)
    assert scaling.pays_up_to(size, slow) < scaling.pays_up_to(size, fast) == 256
    text = scaling.advice(size, slow)
    assert "links are full" in text and "train_best.py" in text
    assert "up to 256" in scaling.advice(size, fast)


def test_report(capsys):
    assert scaling.main(["--step_ms=100", "--servers=2"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{k:7d}" in out for k in scaling.WORKERS)
    assert "search child" in out and "ENAS-1" in out and "2,328,128 weights" in out
    with pytest.raises(SystemExit) as ended:
        scaling.main(["--step_ms=0"])
    assert ended.value.code == 2 and "--step_ms" in capsys.readouterr().err
