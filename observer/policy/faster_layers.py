"""Faster forms of layers of transformers' models: same weights under the same names, same values."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable


class PatchProjection(nn.Conv3d):
    """The embedding of picture patches as a matrix product, which is faster than the convolution."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Project patches, (patches, channels, time, height, width) -> (patches, features, 1, 1, 1)."""
        projected = nn.functional.linear(input.flatten(1), self.weight.flatten(1), self.bias)
        return projected[:, :, None, None, None]


@cache
def _least_root(size: int, eps: float) -> torch.Tensor:
    """Return sqrt(size eps), the root of a row of zeros; a tensor, as ``hypot`` requires."""
    return torch.tensor(math.sqrt(size * eps), dtype=torch.float32, device="cpu")


def _normalised(x: torch.Tensor, eps: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return x / root over the last dimension, and root: sqrt(|x|^2 + D eps), sqrt(D) times rms(x)."""
    root = torch.linalg.vector_norm(x, dim=-1, keepdim=True).hypot_(_least_root(x.shape[-1], eps))
    return x / root, root


class _RmsNorm(torch.autograd.Function):
    """x / rms(x) * weight. torch has no CPU kernel for it; its operations take half as long again."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        """Normalise the last dimension; one copy of the input is saved for the backward pass."""
        unit, root = _normalised(x, eps)
        factor = weight * math.sqrt(len(weight))
        ctx.save_for_backward(unit, root, factor)
        return unit * factor

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Return (g f - u (g f . u)) / root and, summed over tokens, sqrt(D) g u.

        u is x / root, f is sqrt(D) weight.
        """
        unit, root, factor = ctx.saved_tensors
        product = grad * unit
        along = (product @ factor)[..., None]
        of_x = torch.addcmul(grad * factor, unit, along, value=-1).div_(root)
        return of_x, product.flatten(0, -2).sum(0).mul_(math.sqrt(len(factor))), None


class FusedNorm(nn.Module):
    """Root-mean-square norm with fewer passes over its input: one kernel on a GPU, ``_RmsNorm`` on a CPU.

    The five operations of transformers save two float32 copies of the input for the backward pass.
    """

    weight: nn.Parameter
    variance_epsilon: float

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Normalise the last dimension."""
        shape, weight, eps = self.weight.shape, self.weight, self.variance_epsilon
        if hidden_states.dtype != weight.dtype:  # no kernel takes two dtypes
            normalised = nn.functional.rms_norm(hidden_states.float(), shape, None, eps)
            return weight * normalised.to(hidden_states.dtype)
        if (weight.device.type, weight.dtype) != ("cpu", torch.float32):
            return nn.functional.rms_norm(hidden_states, shape, weight, eps)
        if torch.is_grad_enabled():
            normed: torch.Tensor = _RmsNorm.apply(hidden_states, weight, eps)  # type: ignore[no-untyped-call]
            return normed
        return _normalised(hidden_states, eps)[0].mul_(weight * math.sqrt(len(weight)))


def use_faster_layers(model: Any) -> None:
    """Replace patch embeddings and norms of a model of the Qwen2-VL kind by their faster forms, in place."""
    for module in model.modules():
        if type(module) is nn.Conv3d and module.kernel_size == module.stride:
            module.__class__ = PatchProjection
        elif type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
            module.__class__ = FusedNorm
