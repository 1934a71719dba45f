"""The benchmark's PyTorch twins against the children, in a process that loads PyTorch first."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "scripts/studies"))

from bench.torch_first import torch

# isort: split
import numpy as np
import pytest
from bench import children
from bench.ours import Ours
from bench.setting import Setting, random_batch
from bench.torch_train import FlatWeights, PlainSide, TorchSide, clip

SEARCH = Setting(filters=4, size=9, layers=3, batch=4, architectures=4, seed=1, keep_prob=1.0)
FINAL = Setting(filters=4, size=9, batch=4, keep_prob=1.0, final=True)


def twins_are_the_children():
    for setting in (SEARCH, FINAL):
        ours, batch = Ours(setting), random_batch(setting)
        values = ours.values()
        for kind in (TorchSide, PlainSide):
            for memory_format in ("contiguous", "channels_last"):
                ours.reset()
                compare(ours, values, batch, kind, memory_format)
        ours.close()


def compare(ours, values, batch, kind, memory_format):
    """Logits, then two training steps, each from the same weights."""
    setting = ours.setting
    children.check(ours, kind(values, setting, memory_format), batch, setting.chosen())
    ours.reset()
    twin = kind(values, setting, memory_format)
    # Two steps: the second one sees what momentum, decay and clipping made of the first.
    for architecture in setting.chosen()[:1] * 2:
        loss, correct, _, norm, _ = ours.train(batch, architecture)
        assert twin.train(batch, architecture) == (
            pytest.approx(loss, rel=1e-3), correct, pytest.approx(norm, rel=1e-2))
    after = kind(ours.values(), setting, memory_format).values
    for name, value in twin.values.items():
        expected = after[name].detach().numpy()
        np.testing.assert_allclose(value.detach().numpy(), expected, rtol=0,
                                   atol=1e-3 * max(1.0, np.abs(expected).max()), err_msg=name)


def another_network_is_no_twin():
    ours, batch = Ours(SEARCH), random_batch(SEARCH)
    values = ours.values()
    twin = TorchSide({**values, "child/fc/w": -values["child/fc/w"]}, SEARCH, "contiguous")
    with pytest.raises(children.MismatchError, match="training"):
        children.check(ours, twin, batch, SEARCH.chosen())
    ours.close()


def clipping_in_the_twin():
    weights = FlatWeights({"a/w": np.zeros((2, 2), np.float32), "b/w": np.zeros(3, np.float32)},
                          torch.contiguous_format)
    weights.flat_grad.copy_(torch.tensor([6.0, 0, 0, 8, 1, 2, 2]))
    assert clip(weights, SEARCH.config().train) == pytest.approx(109 ** 0.5)
    np.testing.assert_allclose(weights.flat_grad.numpy(), [3, 0, 0, 4, 1, 2, 2])


if __name__ == "__main__":
    CHECKS = (twins_are_the_children, another_network_is_no_twin, clipping_in_the_twin)
    for check in CHECKS:
        check()
    sys.stdout.write(f"{len(CHECKS)} checks\n")
