"""Group mean as the baseline, and no scale (Dr. GRPO); the mean of the others instead (RLOO)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.advantages.base import Advantage, centre


@dataclass(frozen=True)
class GroupMean(Advantage):
    """A_i = R_i - mean(R): the group's mean as baseline, not divided by its spread.

    Dividing by the standard deviation gives groups that are nearly all right or all wrong a larger step; this
    leaves it out.

    With ``leave_one_out`` a completion is compared with the mean of the others alone: then the baseline does
    not depend on it and the estimate is unbiased. That is G / (G - 1) times as much.

    Args:
        leave_one_out: leave a completion's own reward out of its baseline (RLOO).

    Reference:
        Dr. GRPO, arXiv 2503.20783. RLOO, arXiv 2402.14740.

    >>> GroupMean()(torch.tensor([[1.0, 0.0, 0.0, 1.0]])).tolist()
    [[0.5, -0.5, -0.5, 0.5]]

    One of four right: the others of the right one have mean 0, those of a wrong one 1 / 3.

    >>> GroupMean(leave_one_out=True)(torch.tensor([[1.0, 0.0, 0.0, 0.0]])).tolist()
    [[1.0, -0.3333333432674408, -0.3333333432674408, -0.3333333432674408]]
    """

    leave_one_out: bool = False

    def centred(self, values_P_G: torch.Tensor) -> torch.Tensor:
        """Return R - mean(R) by group; see ``Advantage``."""
        size = values_P_G.shape[-1]
        if self.leave_one_out and size > 1:
            return centre(values_P_G) * (size / (size - 1))
        return centre(values_P_G)
