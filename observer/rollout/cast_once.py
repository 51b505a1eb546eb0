"""Weights in the type of autocast while completions are drawn: cast once, and not for every token."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def cast_once(*parts: nn.Module) -> Iterator[int]:
    """Give linear layers, while the context lasts, the casts of their weights that autocast would make.

    Mixed precision keeps weights in float32, and autocast casts them anew at each use (Lightning switches its
    cache off, which would keep casts without gradients): for a token of every row a pass over all weights.
    What is computed is the same to the bit. Without autocast nothing is done.

    Layers hold the copies, not the parameters: an embedding stays as it is where the head shares its weight,
    and once the context is left, also by an error, layers hold their own parameters again. Adapters are
    layers too, and stay apart from what they adapt. What autocast does not touch, such as norms and weights
    that are quantised, is left alone.

    Args:
        parts: of a model.

    Yields:
        Bytes of the copies.
    """
    layers = [layer for part in parts for layer in part.modules() if isinstance(layer, nn.Linear)]
    own = [
        (layer, name, weight)
        for layer in layers
        for name, weight in layer._parameters.items()
        if weight is not None and _is_cast(weight)
    ]
    copies: dict[nn.Parameter, torch.Tensor] = {}
    try:
        for layer, name, weight in own:
            if weight not in copies:
                copies[weight] = weight.detach().to(torch.get_autocast_dtype(weight.device.type))
            layer._parameters[name] = copies[weight]  # type: ignore[assignment]
        yield sum(copy.nbytes for copy in copies.values())
    finally:
        for layer, name, weight in own:
            layer._parameters[name] = weight


def _is_cast(weight: torch.Tensor) -> bool:
    """Whether autocast, as it is set now, casts a weight of a linear layer."""
    kind, dtype = weight.device.type, weight.dtype
    if not (torch.is_autocast_enabled(kind) and dtype.is_floating_point and dtype != torch.float64):
        return False
    return dtype != torch.get_autocast_dtype(kind)
