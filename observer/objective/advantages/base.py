"""The family of advantage estimators, and the test for groups whose rewards are equal."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch

EQUAL = 1e-9
"""Rewards closer than this are the same reward: what is left of their difference is rounding."""


class Advantage(ABC):
    """Turns the rewards of groups into advantages. Equal rewards give exactly 0."""

    @abstractmethod
    def __call__(self, rewards_P_G: torch.Tensor) -> torch.Tensor:
        """Return one advantage a completion, (P, G), of the dtype of the rewards.

        Args:
            rewards_P_G: rewards of whole groups, float64.
        """


def centre(rewards_P_G: torch.Tensor) -> torch.Tensor:
    """Subtract each group's mean; a group of equal rewards becomes exactly 0, whatever its mean rounds to.

    Args:
        rewards_P_G: rewards of whole groups.

    Returns:
        (P, G), of the same dtype.

    >>> centre(torch.tensor([[0.1, 0.1, 0.1], [1.0, 0.0, 0.5]], dtype=torch.float64)).tolist()
    [[0.0, 0.0, 0.0], [0.5, -0.5, 0.0]]
    """
    equal_P_1 = (rewards_P_G.amax(-1, keepdim=True) - rewards_P_G.amin(-1, keepdim=True)) < EQUAL
    return (rewards_P_G - rewards_P_G.mean(-1, keepdim=True)).masked_fill(equal_P_1, 0.0)
