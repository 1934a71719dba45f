"""The head of the log against real ones of the published code."""

import pytest
import tensorflow.compat.v1 as tf
from conftest import GOLDEN

from AEROBI.architecture import flat_length
from AEROBI.config import ChildConfig
from AEROBI.records.log_head import RULE, flag_lines, size_line
from AEROBI.training.graphs import child_logits, child_parameters

RUNS = ("published_search", "published_final")


def log_of(run):
    return (GOLDEN / run / "stdout").read_text().splitlines()


@pytest.mark.parametrize("run", RUNS)
def test_the_flags_are_written_as_published(run):
    lines = log_of(run)
    end = lines.index(RULE, 1)
    values = {line.split(".")[0]: line.split("..")[-1].lstrip(".") for line in lines[1:end]}
    assert values["child_l2_reg"] == "0.0005" and values["data_path"] == ""
    written = flag_lines(dict(reversed(values.items())))
    assert len(written) == end + 1 == 57
    for ours, published in zip(written, lines):  # the folder's name was shortened by hand
        assert ours == published or published.startswith("output_dir")


@pytest.mark.parametrize("run, arc", [(RUNS[0], None), (RUNS[1], (1, 3, 1, 4, 0, 1))])
def test_the_size_is_that_of_all_the_child_trains(run, arc):
    config = ChildConfig(3, 4, 6, 6, keep_prob=1.0, fixed_arc=arc, dense_separable=True)
    child_logits(tf.zeros([1, 32, 32, 3]), tf.zeros([flat_length(3)], tf.int32), config, 0, None)
    assert size_line(child_parameters()) in log_of(run)
