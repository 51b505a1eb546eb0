"""How far an optimizer step moves the weights: tells an effect of a weighting from one of the step size.

A weighting scales gradients; clipping, the learning rate and the optimizer, such as Adam, which normalises
them, decide what is left of that. ||theta_after - theta_before|| is what a step did.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

MOST = 65_536
"""Elements of a tensor that are compared at most."""


class UpdateNorm:
    """The norm of an optimizer step, 0 until it was taken."""

    value = 0.0
    """||theta_after - theta_before||, over all tensors together."""


@contextmanager
def update_norm(parameters: Sequence[torch.Tensor], most: int = MOST) -> Iterator[UpdateNorm]:
    """Measure how far the step inside moves parameters.

    Memory is bounded: of a tensor with more than ``most`` elements, every so many are compared, and its share
    of the norm is scaled up to its size. Below that the norm is exact. Nothing but the parameters' values is
    read, no random number is drawn.

    Args:
        parameters: those that are trained; changed in place inside.
        most: elements per tensor that are compared at most.

    Yields:
        The norm, which has its value after the block.

    >>> weights = torch.zeros(2)
    >>> with update_norm([weights]) as moved:
    ...     weights += torch.tensor([3.0, 4.0])
    >>> moved.value
    5.0
    """
    moved = UpdateNorm()
    before = [evenly_spaced(parameter, most).clone() for parameter in parameters]
    yield moved
    differences = []
    for parameter, old in zip(parameters, before, strict=True):
        precise = torch.promote_types(old.dtype, torch.float32)
        scale = math.sqrt(parameter.numel() / max(old.numel(), 1))
        differences.append((evenly_spaced(parameter, most).to(precise) - old.to(precise)) * scale)
    moved.value = float(torch.nn.utils.get_total_norm(differences)) if differences else 0.0


def evenly_spaced(parameter: torch.Tensor, most: int) -> torch.Tensor:
    """Return elements of a tensor at even distances, ``most`` of them at most: all where there are no more.

    The distance has no divisor in common with the last dimension, so every column has its turn.

    Args:
        parameter: of any shape.
        most: at least 1.

    >>> evenly_spaced(torch.arange(12).view(3, 4), 6).tolist()
    [0, 3, 6, 9]
    """
    distance = max(1, math.ceil(parameter.numel() / most))
    if distance > 1:
        while math.gcd(distance, parameter.shape[-1]) > 1:
            distance += 1
    return parameter.detach().flatten()[::distance]
