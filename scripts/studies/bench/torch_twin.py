"""The two children in PyTorch, for comparison: same weights, same numbers.

Weights come by the names of the TensorFlow variables. Only the chosen path is computed, by an
`if` in Python. `Twin` is meant to be PyTorch at its best: ReLU in place, one 2x2 convolution for a
factorized reduction, all weights as views of one flat tensor (`torch_train`). `PlainTwin` is what
the published text says, word by word.
"""

from collections.abc import Mapping

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)

from AEROBI.architecture import OPERATIONS, Architecture, Operation, reduction_layers

BN_RATE = 0.1
Values = Mapping[str, torch.Tensor]


def to_torch_layout(name: str, value: np.ndarray) -> np.ndarray:
    """A TensorFlow variable in the order of PyTorch's axes.

    [k, k, in, out] → [out, in, k, k]; depthwise [k, k, C, 1] → [C, 1, k, k]; the search child's
    `w_point` [out, in] → [out, in, 1, 1]; others as they are.
    """
    if name.endswith("w_depth"):
        return value.transpose(2, 3, 0, 1)
    if value.ndim == 4:
        return value.transpose(3, 2, 0, 1)
    return value[:, :, None, None] if name.endswith("w_point") else value


class Twin:
    """A child of one kind; `search` and `final` are pure functions of images and weights."""

    def __init__(self, values: Values, training: bool, keep_prob: float = 1.0):
        """`values` by the names of the TensorFlow variables, in PyTorch's layout."""
        self._values, self._training, self._keep_prob = values, training, keep_prob

    def search(self, images: torch.Tensor, architecture: Architecture) -> torch.Tensor:
        """Logits float32 [N, classes] of float32 images [N, 3, S, S] under an architecture."""
        stored = [self._norm(self._conv(images, "child/stem_conv"), "child/stem_conv")]
        for layer, (op, bits) in enumerate(zip(architecture.ops, architecture.skips)):
            scope = f"child/layer_{layer}"
            x = self._branch(stored[-1], op, f"{scope}/branch_{op}")
            for tensor, bit in zip(stored, bits):
                if bit:
                    x = x + tensor
            if layer:
                x = self._norm(x, f"{scope}/skip")
            stored.append(x)
            if layer in reduction_layers(architecture.num_layers):
                # All of them: the moving averages of each move.
                stored = [self._reduce(tensor, f"{scope}/pool_at_{layer}/from_{j}")
                          for j, tensor in enumerate(stored)]
        return self._classify(stored[-1])

    def final(self, images: torch.Tensor, architecture: Architecture) -> torch.Tensor:
        """The same of the final child."""
        stored = [self._norm(self._conv(images, "child/stem_conv"), "child/stem_conv")]
        for layer, (op, bits) in enumerate(zip(architecture.ops, architecture.skips)):
            scope = f"child/layer_{layer}"
            x = self._final_operation(stored[-1], op, scope)
            if layer:
                chosen = [tensor for tensor, bit in zip(stored, bits) if bit]
                joined = F.relu(torch.cat([*chosen, x], 1) if chosen else x)
                x = self._norm(self._conv(joined, f"{scope}/skip"), f"{scope}/skip")
            stored.append(x)
            if layer in reduction_layers(architecture.num_layers):
                # A static graph leaves out what no later layer reads; so does this.
                later = architecture.skips[layer + 1:]
                stored = [self._reduce(tensor, f"{scope}/pool_at_{layer}/from_{j}")
                          if j == layer + 1 or any(bits[j] for bits in later) else tensor
                          for j, tensor in enumerate(stored)]
        return self._classify(stored[-1])

    def _branch(self, x: torch.Tensor, op: int, scope: str) -> torch.Tensor:
        operation = OPERATIONS[op]
        if operation.is_pooling:
            scope = f"{scope}/conv_1"
            return _pool(F.relu_(self._norm(self._conv(x, scope), scope)), operation.kind)
        first, second = f"{scope}/inp_conv_1", f"{scope}/out_conv_{operation.size}"
        x = F.relu_(self._norm(self._conv(x, first), first))
        return F.relu_(self._norm(self._kxk(x, operation, second), second, epsilon=1e-3))

    def _final_operation(self, x: torch.Tensor, op: int, scope: str) -> torch.Tensor:
        operation = OPERATIONS[op]
        if operation.is_pooling:
            return _pool(x, operation.kind)
        size = operation.size
        first, second = f"{scope}/conv_1x1", f"{scope}/conv_{size}x{size}"
        x = F.relu_(self._norm(self._conv(F.relu(x), first), first))
        return self._norm(self._kxk(x, operation, second), second)

    def _kxk(self, x: torch.Tensor, operation: Operation, scope: str) -> torch.Tensor:
        if not operation.is_separable:
            return self._conv(x, scope)
        depth = self._values[f"{scope}/w_depth"]
        x = F.conv2d(x, depth, padding=depth.shape[-1] // 2, groups=depth.shape[0])
        return F.conv2d(x, self._values[f"{scope}/w_point"])

    def _conv(self, x: torch.Tensor, scope: str) -> torch.Tensor:
        w = self._values[f"{scope}/w"]
        return F.conv2d(x, w, padding=w.shape[-1] // 2)

    def _norm(self, x: torch.Tensor, scope: str, epsilon: float = 1e-4) -> torch.Tensor:
        scale, offset, mean, variance = (self._values[f"{scope}/bn/{name}"] for name in (
            "scale", "offset", "moving_mean", "moving_variance"))
        return F.batch_norm(x, mean, variance, scale, offset, self._training, BN_RATE, epsilon)

    def _reduce(self, x: torch.Tensor, scope: str) -> torch.Tensor:
        """Both paths as one 2x2 convolution with stride 2, zero outside their corners."""
        upper_left, lower_right = (
            self._values[f"{scope}/path{path}_conv/w"] for path in (1, 2))
        kernel = torch.cat([F.pad(upper_left, (0, 1, 0, 1)), F.pad(lower_right, (1, 0, 1, 0))])
        odd = (x.shape[3] % 2, x.shape[2] % 2)
        if any(odd):
            x = F.pad(x, (0, odd[0], 0, odd[1]))
        return self._norm(F.conv2d(x, kernel, stride=2), scope)

    def _classify(self, x: torch.Tensor) -> torch.Tensor:
        x = x.mean((2, 3))
        if self._training and self._keep_prob < 1:
            x = F.dropout(x, 1 - self._keep_prob)
        return x @ self._values["child/fc/w"]


class PlainTwin(Twin):
    """The same with the factorized reduction as it is published: two paths on strided slices."""

    def _reduce(self, x: torch.Tensor, scope: str) -> torch.Tensor:
        first, second = (self._values[f"{scope}/path{path}_conv/w"] for path in (1, 2))
        shifted = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
        paths = [F.conv2d(x[:, :, ::2, ::2], first), F.conv2d(shifted[:, :, ::2, ::2], second)]
        return self._norm(torch.cat(paths, 1), scope)


def _pool(x: torch.Tensor, kind: str) -> torch.Tensor:
    if kind == "average_pooling":
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    return F.max_pool2d(x, 3, 1, 1)
