"""The batch's mean as the baseline, its spread as the scale: groups play no part."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.advantages.base import Advantage, centre, spread
from observer.refusal import refuse_fields


@dataclass(frozen=True)
class BatchMeanStd(Advantage):
    """A_i = (R_i - mean over the batch) / (std over the batch + eps): better than the batch's average.

    Unlike with the group's mean as baseline, **a group of equal rewards has a say**: one that is all right is
    pushed up and one that is all wrong is pushed down, and an easy prompt's wrong answer may do better than a
    hard prompt's right one. It works with groups of one. Only when all rewards of the batch are equal are
    all advantages exactly 0. The batch is all groups of all ranks; std with N - 1.

    Args:
        eps: added to the standard deviation, > 0.

    Reference:
        REINFORCE++ (its variant without a baseline), arXiv 2501.03262, second hand. It normalises over
        tokens; here each completion counts once.

    Mean .75, std .5:

    >>> BatchMeanStd()(torch.tensor([[1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)).round(decimals=3).tolist()
    [[0.5, -1.5], [0.5, 0.5]]
    """

    eps: float = 1e-9

    def __post_init__(self) -> None:
        refuse_fields(self, "eps", above=0)

    def centred(self, values_P_G: torch.Tensor) -> torch.Tensor:
        """Return R - the mean over the batch; see ``Advantage``."""
        return centre(values_P_G.reshape(1, -1)).view_as(values_P_G)

    def scale(self, rewards_P_G: torch.Tensor) -> torch.Tensor:
        """Return the spread over the batch + eps, (1,); see ``Advantage``."""
        return spread(rewards_P_G.flatten()) + self.eps
