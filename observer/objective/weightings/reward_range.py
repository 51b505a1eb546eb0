"""The range of a group's rewards: groups that differ little weigh little."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.advantages.base import width
from observer.objective.weightings.base import Weighting
from observer.refusal import refuse_fields
from observer.types import Estimated


@dataclass(frozen=True)
class RewardRange(Weighting):
    """f = min(1, (max(R) - min(R)) / range): groups whose rewards hardly differ weigh little.

    It undoes what dividing by a small spread does: a group that is all right and differs in a reward for
    length alone no longer gets advantages as large as one that is half wrong. Equal rewards weigh exactly 0.

    Args:
        range: the difference of rewards that weighs 1, > 0 and finite. With rewards in [0, 1] that is the sum
            of the weights of those that enter before the normalisation; 1.5 in the Observe-R1 recipe.

    Reference:
        Kin of the reward-range-based rescaling of DIVA-GRPO, arXiv 2603.01106, **second hand**: its equation
        was not read, and the released code has no such formula. The ratio and its cap are our reading.

    >>> RewardRange(range=2.0).of(torch.tensor([[1.5, 0.5], [3.0, 0.0], [0.7, 0.7]])).tolist()
    [0.5, 1.0, 0.0]
    """

    range: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_fields(self, "range", above=0)

    def __call__(self, batch: Estimated) -> torch.Tensor:
        """Return the capped share of the range; see ``Weighting``."""
        return self.of(batch.rewards_P_G)

    def of(self, rewards_P_G: torch.Tensor) -> torch.Tensor:
        """Return the weight of groups by their rewards, (P,)."""
        return (width(rewards_P_G)[:, 0] / self.range).clamp(max=1.0)
