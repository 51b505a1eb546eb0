"""Group mean as the baseline, one spread of the whole batch as the scale (REINFORCE++ baseline)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch

from observer.objective.advantages.base import Advantage, centre, spread
from observer.refusal import refuse_fields, refuse_unless

Spread = Literal["centred", "raw"]


@dataclass(frozen=True)
class GroupMeanBatchStd(Advantage):
    """A_i = (R_i - mean(R)) / (std over the batch + eps): the group's mean, and one scale for all groups.

    As no group has a scale of its own, a nearly equal group is not blown up, and the size of a step still
    does not depend on the unit of the rewards. The batch is all groups of all ranks, those of equal rewards
    included; std with N - 1.

    The paper and its implementations take the spread over tokens, so that long completions count more, and
    subtract the mean over tokens once more. Here each completion counts once, and that mean is 0.

    Args:
        of: what the spread is taken of: ``centred`` rewards (REINFORCE++ baseline), or ``raw`` ones, so that
            the differences between groups count too (TRL's ``scale_rewards="batch"``).
        eps: added to the standard deviation, > 0.

    Reference:
        REINFORCE++ (its variant with a baseline), arXiv 2501.03262; formulas from the code of verl and TRL.

    Centred .5, -.5, 0, 0: squares add up to .5, over N - 1 = 3, so std .408.

    >>> rewards_P_G = torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    >>> GroupMeanBatchStd()(rewards_P_G).round(decimals=3).tolist()
    [[1.225, -1.225], [0.0, 0.0]]

    Raw 1, 0, 1, 1: mean .75, squares add up to .75, so std .5.

    >>> GroupMeanBatchStd(of="raw")(rewards_P_G).round(decimals=3).tolist()
    [[1.0, -1.0], [0.0, 0.0]]
    """

    of: Spread = "centred"
    eps: float = 1e-9

    def __post_init__(self) -> None:
        refuse_fields(self, "eps", above=0)
        refuse_unless(self.of in get_args(Spread), self, "of", f"give one of {', '.join(get_args(Spread))}")

    def centred(self, values_P_G: torch.Tensor) -> torch.Tensor:
        """Return R - mean(R) by group; see ``Advantage``."""
        return centre(values_P_G)

    def scale(self, rewards_P_G: torch.Tensor) -> torch.Tensor:
        """Return the spread over the batch + eps, (1,); see ``Advantage``."""
        values_P_G = centre(rewards_P_G) if self.of == "centred" else rewards_P_G
        return spread(values_P_G.flatten()) + self.eps
