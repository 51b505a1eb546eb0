"""Layers of transformers' models in a faster form: the same weights under the same names, the same values."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class PatchProjection(nn.Conv3d):
    """The projection of patches of one kernel each: a matrix product, which convolutions are slow at."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Project patches, (patches, channels, time, height, width) -> (patches, features, 1, 1, 1)."""
        projected = nn.functional.linear(input.flatten(1), self.weight.flatten(1), self.bias)
        return projected[:, :, None, None, None]


class FusedNorm(nn.Module):
    """Root-mean-square norm in torch's own form: the same bits in float32 on a CPU, one kernel on a GPU.

    What transformers writes as five operations keeps two float32 copies of its input for the backward pass.
    """

    weight: nn.Parameter
    variance_epsilon: float

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Normalise the last dimension."""
        return nn.functional.rms_norm(hidden_states, self.weight.shape, self.weight, self.variance_epsilon)


def use_faster_layers(model: Any) -> None:
    """Turn the layers of a model of the Qwen2-VL kind into their faster forms, in place."""
    for module in model.modules():
        if type(module) is nn.Conv3d and module.kernel_size == module.stride:
            module.__class__ = PatchProjection
        elif type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
            module.__class__ = FusedNorm
