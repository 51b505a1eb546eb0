"""The family of advantage estimators, and the test for groups whose rewards are equal."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

EQUAL = 1e-9
"""Rewards closer than this are equal: their difference is rounding."""


class Advantage(ABC):
    """advantage = centred rewards / scale.

    The rewards are of all groups of a step, of every rank, so that an estimator may look at the whole batch.
    A group of one has nothing to be compared with: where the group is the baseline, its advantage is 0.
    """

    @abstractmethod
    def centred(self, values_P_G: torch.Tensor) -> torch.Tensor:
        """Return the values minus what they are compared with, (P, G). Equal values give exactly 0.

        It is linear in the values: the centred components of a reward add up to the centred reward.

        Args:
            values_P_G: rewards of whole groups, or one component of them, float64.
        """

    def scale(self, rewards_P_G: torch.Tensor) -> torch.Tensor | float:
        """Return what the centred values are divided by, > 0: (P, 1), or one number for all.

        Args:
            rewards_P_G: rewards of whole groups, float64.
        """
        return 1.0

    def __call__(self, rewards_P_G: torch.Tensor) -> torch.Tensor:
        """Return one advantage per completion, (P, G), of the dtype of the rewards.

        Args:
            rewards_P_G: rewards of whole groups, float64.
        """
        return self.centred(rewards_P_G) / self.scale(rewards_P_G)


def width(values_P_G: torch.Tensor) -> torch.Tensor:
    """Return the largest minus the smallest value of each group, (P, 1); exactly 0 when they are equal.

    Args:
        values_P_G: values of whole groups.

    >>> width(torch.tensor([[0.1 + 0.2, 0.3], [1.0, 0.5]], dtype=torch.float64)).tolist()
    [[0.0], [0.5]]
    """
    width_P_1 = values_P_G.amax(-1, keepdim=True) - values_P_G.amin(-1, keepdim=True)
    return width_P_1.masked_fill(width_P_1 < EQUAL, 0.0)


def centre(values_P_G: torch.Tensor) -> torch.Tensor:
    """Subtract each group's mean; a group of equal values becomes exactly 0, whatever its mean rounds to.

    Args:
        values_P_G: values of whole groups.

    Returns:
        (P, G), of the same dtype.

    >>> centre(torch.tensor([[0.1, 0.1, 0.1], [1.0, 0.0, 0.5]], dtype=torch.float64)).tolist()
    [[0.0, 0.0, 0.0], [0.5, -0.5, 0.0]]
    """
    return (values_P_G - values_P_G.mean(-1, keepdim=True)).masked_fill(width(values_P_G) == 0, 0.0)


def spread(values_P_G: torch.Tensor) -> torch.Tensor:
    """Return the standard deviation of each group, with G - 1, (P, 1); 0 for a group of one.

    Args:
        values_P_G: values of whole groups, or (N,) of a whole batch; then (1,) is returned.

    >>> spread(torch.tensor([[1.0, 3.0, 5.0]])).tolist(), spread(torch.tensor([[7.0]])).tolist()
    ([[2.0]], [[0.0]])
    """
    if values_P_G.shape[-1] == 1:
        return torch.zeros_like(values_P_G)
    return values_P_G.std(-1, keepdim=True)
