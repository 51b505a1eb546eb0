"""A logistic of the pass rate: right answers to hard problems and wrong answers to easy ones weigh most."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.weightings.base import Weighting
from observer.refusal import refuse_fields, refuse_unless
from observer.types import Estimated


@dataclass(frozen=True)
class Logistic(Weighting):
    """w(p) for advantages > 0, else w(1 - p), w(x) = low + (high - low) / (1 + exp(slope (x - centre))).

    w falls with x: what is rarely right weighs about ``high`` when it was right, and what is nearly always
    right weighs that when it was wrong. The sign is that of the estimate before bonus and weight. No group
    weighs 0 by being all right or all wrong (its advantages are 0 where the group is the baseline).

    p is the share of correct verdicts. The authors' code counts completions with a reward > 0 instead, which
    is the same where wrong answers are punished.

    Args:
        low: the weight far above the centre, in [0, high).
        high: the weight far below the centre, finite.
        centre: the pass rate that weighs half way between, in [0, 1].
        slope: how sharply the weight falls there, > 0 and finite.

    Reference:
        GRPO-LEAD, arXiv 2504.09696; formula and defaults as in the authors' code.

    w(.75) is half way between .4 and 1.5; w(.5) = .4 + 1.1 / (1 + exp(-2.5)) = .4 + 1.1 x .924.

    >>> Logistic().of(torch.tensor([0.75, 0.5], dtype=torch.float64)).round(decimals=3).tolist()
    [0.95, 1.417]
    """

    low: float = 0.4
    high: float = 1.5
    centre: float = 0.75
    slope: float = 10.0

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_fields(self, "high", "slope", above=0)
        refuse_unless(
            0 <= self.low < self.high, self, "low", f"it must be in [0, high), and high is {self.high}"
        )
        refuse_unless(0 <= self.centre <= 1, self, "centre", "it must be in [0, 1]")

    def __call__(self, batch: Estimated) -> torch.Tensor:
        """Return w(p) or w(1 - p) by the sign of the estimate, (P, G); see ``Weighting``."""
        p_P_1 = batch.pass_rates_P[:, None]
        return torch.where(batch.estimates_P_G > 0, self.of(p_P_1), self.of(1 - p_P_1))

    def of(self, x: torch.Tensor) -> torch.Tensor:
        """Return w(x), of the shape of x."""
        return self.low + (self.high - self.low) * torch.sigmoid(-self.slope * (x - self.centre))
