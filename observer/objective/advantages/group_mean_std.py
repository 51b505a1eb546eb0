"""Group mean as the baseline, group standard deviation as the scale (GRPO)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.advantages.base import Advantage, centre, spread
from observer.refusal import refuse_fields


@dataclass(frozen=True)
class GroupMeanStd(Advantage):
    """A_i = (R_i - mean(R)) / (std(R) + eps), std with G - 1: the group's mean and spread, as in GRPO.

    A group of equal rewards gives exactly 0, never rounding blown up by a small eps.

    Args:
        eps: added to the standard deviation, > 0.

    Reference:
        GRPO, arXiv 2402.03300; the estimator with G - 1 is that of the Observe-R1 release.

    Two of four right: mean .5, std sqrt(1/3) = .577, so +-.866.

    >>> GroupMeanStd()(torch.tensor([[1.0, 1.0, 0.0, 0.0]], dtype=torch.float64)).round(decimals=3).tolist()
    [[0.866, 0.866, -0.866, -0.866]]
    """

    eps: float = 1e-9

    def __post_init__(self) -> None:
        refuse_fields(self, "eps", above=0)

    def centred(self, values_P_G: torch.Tensor) -> torch.Tensor:
        """Return R - mean(R) by group; see ``Advantage``."""
        return centre(values_P_G)

    def scale(self, rewards_P_G: torch.Tensor) -> torch.Tensor:
        """Return std(R) + eps by group; see ``Advantage``."""
        return spread(rewards_P_G) + self.eps
