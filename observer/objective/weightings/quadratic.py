"""The paper's dynamic weighting: groups of medium difficulty weigh most."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.weightings.base import Weighting
from observer.refusal import refuse_fields
from observer.types import Estimated


@dataclass(frozen=True)
class Quadratic(Weighting):
    """f(p) = 4 sigma p (1 - p): medium difficulty weighs most, all right and all wrong weigh nothing.

    p is the share of correct verdicts of the group, taken before any reward is summed, so it is in [0, 1] and
    the weight is never negative. Unless they are normalised, the weights also scale the step.

    Args:
        sigma: the weight of a group that is half right, > 0.

    Reference:
        Observe-R1, arXiv 2505.12432.

    For 0, 1, 2 and 4 of 8 right and sigma 1.8:

    >>> Quadratic().of(torch.tensor([0, 1, 2, 4], dtype=torch.float64) / 8).tolist()
    [0.0, 0.7875, 1.35, 1.8]
    """

    sigma: float = 1.8

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_fields(self, "sigma", above=0, hint=" (Uniform switches weighting off)")

    def __call__(self, batch: Estimated) -> torch.Tensor:
        """Return 4 sigma p (1 - p); see ``Weighting``."""
        return self.of(batch.pass_rates_P)

    def of(self, pass_rates_P: torch.Tensor) -> torch.Tensor:
        """Return the weight of a pass rate, (P,)."""
        return 4 * self.sigma * pass_rates_P * (1 - pass_rates_P)
