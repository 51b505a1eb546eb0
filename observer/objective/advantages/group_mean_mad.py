"""Group mean as the baseline, mean absolute deviation as the scale (DGPO)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.advantages.base import Advantage, centre
from observer.refusal import refuse_fields


@dataclass(frozen=True)
class GroupMeanMad(Advantage):
    """A_i = (R_i - mean(R)) / (mean |R - mean(R)| + eps): all groups whose rewards differ push equally hard.

    The sizes of a group's advantages add up to G, however hard it was; with the standard deviation that is
    less for easy and for hard ones. With rewards of 0 and 1 and a pass rate p, right answers get 1 / (2 p)
    and wrong ones -1 / (2 (1 - p)).

    This is the estimator of DGPO alone; its weights of questions by difficulty are not part of it.

    Args:
        eps: added to the mean absolute deviation, > 0. The authors' code adds 1e-4 / G.

    Reference:
        DGPO, arXiv 2601.20614; the formula as in the authors' code.

    One of four right: mean .25, deviations .75 and three times .25, their mean .375.

    >>> GroupMeanMad()(torch.tensor([[1.0, 0.0, 0.0, 0.0]], dtype=torch.float64)).round(decimals=3).tolist()
    [[2.0, -0.667, -0.667, -0.667]]
    """

    eps: float = 1e-9

    def __post_init__(self) -> None:
        refuse_fields(self, "eps", above=0)

    def centred(self, values_P_G: torch.Tensor) -> torch.Tensor:
        """Return R - mean(R) by group; see ``Advantage``."""
        return centre(values_P_G)

    def scale(self, rewards_P_G: torch.Tensor) -> torch.Tensor:
        """Return mean |R - mean(R)| + eps by group; see ``Advantage``."""
        return centre(rewards_P_G).abs().mean(-1, keepdim=True) + self.eps
