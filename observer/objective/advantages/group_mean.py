"""Group mean as the baseline, and no scale (Dr. GRPO)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.advantages.base import Advantage, centre


@dataclass(frozen=True)
class GroupMean(Advantage):
    """A_i = R_i - mean(R): the group's mean as baseline, not divided by its spread.

    Dividing by the standard deviation gives groups that are nearly all right or all wrong a larger step; this
    leaves it out.

    Reference:
        Dr. GRPO, arXiv 2503.20783.

    >>> GroupMean()(torch.tensor([[1.0, 0.0, 0.0, 1.0]])).tolist()
    [[0.5, -0.5, -0.5, 0.5]]
    """

    def __call__(self, rewards_P_G: torch.Tensor) -> torch.Tensor:
        """Return R - mean(R) by group; see ``Advantage``."""
        return centre(rewards_P_G)
