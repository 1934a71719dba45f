"""Training steps and evaluations of the PyTorch twins, eager and compiled."""

import os
from collections.abc import Callable, Mapping

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)

from AEROBI.architecture import Architecture
from AEROBI.config import TrainConfig
from bench.setting import LEARNING_RATE, Batch, Setting
from bench.torch_twin import PlainTwin, Twin, to_torch_layout

FORMATS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
STATISTICS = ("moving_mean", "moving_variance")
Network = Callable[[torch.Tensor], torch.Tensor]


class FlatWeights:
    """Weights and gradients as views of two flat tensors, so that an update is few kernels."""

    def __init__(self, values: Mapping[str, np.ndarray], memory_format: torch.memory_format):
        """`values` by the names of the TensorFlow variables, with their shapes."""
        # Copies: the arrays that a session returns may be the variables themselves.
        arrays = {name: torch.tensor(np.ascontiguousarray(to_torch_layout(name, value)))
                  for name, value in values.items()}
        self.statistics = {name: value for name, value in arrays.items()
                           if name.endswith(STATISTICS)}
        weights = {name: value for name, value in arrays.items()
                   if name not in self.statistics}
        count = sum(value.numel() for value in weights.values())
        self.flat, self.flat_grad = torch.empty(count), torch.zeros(count)
        self.weights, self.grads, start = {}, [], 0
        for name, value in weights.items():
            rows = slice(start, start + value.numel())
            weight, grad = (_view(flat[rows], value.shape, memory_format)
                            for flat in (self.flat, self.flat_grad))
            weight.copy_(value)
            self.weights[name] = weight.requires_grad_()
            self.weights[name].grad = grad
            self.grads.append(grad)
            start = rows.stop

    @property
    def values(self) -> dict[str, torch.Tensor]:
        """Weights and moving statistics, by name."""
        return {**self.weights, **self.statistics}


def _view(flat: torch.Tensor, shape: torch.Size,
          memory_format: torch.memory_format) -> torch.Tensor:
    if len(shape) == 4 and memory_format is torch.channels_last:
        outputs, inputs, height, width = shape
        return flat.view(outputs, height, width, inputs).permute(0, 3, 1, 2)
    return flat.view(shape)


class TorchSide:
    """One way to run the twin: a memory format, eager or compiled, float32 or bfloat16."""

    def __init__(self, values: Mapping[str, np.ndarray], setting: Setting, memory_format: str,
                 compiled: bool = False, autocast: bool = False):
        """`values` of the child's variables in TensorFlow, by name."""
        torch.set_num_threads(os.cpu_count() or 1)
        self._format, self._setting, self._compiled = FORMATS[memory_format], setting, compiled
        self._autocast, self._config = autocast, setting.config().train
        self.weights = FlatWeights(values, self._format)
        flat = torch.nn.Parameter(self.weights.flat)
        flat.grad = self.weights.flat_grad
        self._optimizer = torch.optim.SGD([flat], LEARNING_RATE, self._config.momentum,
                                          nesterov=True, fused=True)
        self._networks: dict[tuple[Architecture, bool, float], Network] = {}

    @property
    def values(self) -> dict[str, torch.Tensor]:
        """Weights and moving statistics, by name, as the steps left them."""
        return self.weights.values

    def logits(self, batch: Batch, architecture: Architecture, training: bool) -> np.ndarray:
        """float32 [N, classes]; in training without dropout."""
        network = self._network(architecture, training, 1.0)
        with torch.no_grad():
            return network(self._images(batch)).float().numpy()

    def train(self, batch: Batch, architecture: Architecture) -> tuple[float, int, float]:
        """One step: loss, exact matches and the norm of the gradient before clipping."""
        network = self._network(architecture, True, self._setting.keep_prob)
        labels = torch.from_numpy(batch.labels)
        # The gradient of the L2 term is there first; the backward pass adds to it.
        torch.mul(self.weights.flat, 2.0 * self._config.l2_reg, out=self.weights.flat_grad)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._autocast):
            logits = network(self._images(batch))
        loss = F.binary_cross_entropy_with_logits(logits.float(), labels.float())
        loss.backward()
        norm = clip(self.weights, self._config)
        self._optimizer.step()
        correct = ((logits >= 0) == (labels > 0)).all(1).sum()
        return loss.item(), int(correct), norm

    def evaluate(self, batch: Batch, architecture: Architecture) -> np.ndarray:
        """Logits float32 [N, classes] of the trained child, no gradients kept."""
        network = self._network(architecture, False, 1.0)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16,
                                                    enabled=self._autocast):
            return network(self._images(batch)).float().numpy()

    def _images(self, batch: Batch) -> torch.Tensor:
        images = torch.from_numpy(batch.images).permute(0, 3, 1, 2)
        return images.to(torch.float32, memory_format=self._format)

    def _network(self, architecture: Architecture, training: bool, keep_prob: float) -> Network:
        key = architecture, training, keep_prob
        if key not in self._networks:
            self._networks[key] = self._build(*key)
        return self._networks[key]

    def _build(self, architecture: Architecture, training: bool, keep_prob: float) -> Network:
        twin = self._twin(training, keep_prob)
        kind = twin.final if self._setting.final else twin.search

        def network(images: torch.Tensor) -> torch.Tensor:
            return kind(images, architecture)

        if not self._compiled:
            return network
        # A program for each architecture: the path is Python.
        torch._dynamo.config.recompile_limit = 64
        return torch.compile(network, dynamic=False)


    def _twin(self, training: bool, keep_prob: float) -> Twin:
        return Twin(self.values, training, keep_prob)


class PlainSide(TorchSide):
    """PyTorch as its tutorials write it: a list of parameters, `torch.optim.SGD`, the L2 term in
    the loss, each parameter's gradient clipped by `clip_grad_norm_`."""

    def __init__(self, values: Mapping[str, np.ndarray], setting: Setting, memory_format: str):
        """As TorchSide, eager."""
        super().__init__(values, setting, memory_format)
        self._parameters = {name: torch.nn.Parameter(weight.detach().clone())
                            for name, weight in self.weights.weights.items()}
        self._optimizer = torch.optim.SGD(self._parameters.values(), LEARNING_RATE,
                                          self._config.momentum, nesterov=True)

    def train(self, batch: Batch, architecture: Architecture) -> tuple[float, int, float]:
        """As TorchSide."""
        network = self._network(architecture, True, self._setting.keep_prob)
        labels = torch.from_numpy(batch.labels)
        self._optimizer.zero_grad()
        logits = network(self._images(batch))
        loss = F.binary_cross_entropy_with_logits(logits, labels.float())
        decay = self._config.l2_reg * sum(w.square().sum() for w in self._parameters.values())
        (loss + decay).backward()
        norms = [torch.nn.utils.clip_grad_norm_(w, self._config.grad_bound)
                 for w in self._parameters.values()]
        self._optimizer.step()
        correct = ((logits >= 0) == (labels > 0)).all(1).sum()
        return loss.item(), int(correct), torch.stack(norms).norm().item()

    @property
    def values(self) -> dict[str, torch.Tensor]:
        """As TorchSide."""
        return {**self._parameters, **self.weights.statistics}

    def _twin(self, training: bool, keep_prob: float) -> Twin:
        return PlainTwin(self.values, training, keep_prob)


def clip(weights: FlatWeights, config: TrainConfig) -> float:
    """Each gradient scaled to its bound, in place; returns the global norm before that."""
    norms = torch.stack(torch._foreach_norm(weights.grads))
    for k in torch.nonzero(norms > config.grad_bound).flatten().tolist():
        weights.grads[k].mul_(config.grad_bound / norms[k])
    return norms.norm().item()
