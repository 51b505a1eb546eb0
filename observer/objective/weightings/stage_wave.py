"""Half waves of the pass rate by stage of the training: first easy, at last hard problems count in full."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from observer.objective.weightings.base import Weighting
from observer.refusal import refuse_fields, refuse_unknown
from observer.types import Estimated

Name = Literal["easy", "medium", "hard"]
ALL_WRONG: dict[str, float] = {"easy": 0.0, "medium": 0.0, "hard": 0.25}
"""Weight of a group that is all wrong in the authors' code, by stage."""


@dataclass(frozen=True)
class StageWave(Weighting):
    """f(p) = sin(pi p), but 1 for p > 1/2 at stage easy and 1 for 0 < p <= 1/2 at stage hard.

    Each stage is a run of its own that starts from the weights of the one before. A group that is all wrong
    has a weight of its own; it matters only when other rewards, such as for the format, differ in it, or a
    batch is the baseline. A group that is all right weighs 1 at stage easy and 0 else.

    Args:
        stage: ``easy``, ``medium`` or ``hard``.
        all_wrong: weight of a group that is all wrong, >= 0 and finite; null for that of the authors' code:
            .25 at stage hard and 0 else.

    Reference:
        VL-Cogito (online difficulty soft weighting), arXiv 2507.22607; pieces and values as in the authors'
        code.

    sin(pi / 4) = .707 for 1 and 3 of 4 right:

    >>> pass_rates_P = torch.tensor([0, 1, 2, 3, 4], dtype=torch.float64) / 4
    >>> for stage in ("easy", "medium", "hard"):
    ...     print(StageWave(stage).of(pass_rates_P).round(decimals=3).tolist())
    [0.0, 0.707, 1.0, 1.0, 1.0]
    [0.0, 0.707, 1.0, 0.707, 0.0]
    [0.25, 1.0, 1.0, 0.707, 0.0]
    """

    stage: Name = "medium"
    all_wrong: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unknown(self, "stage", Name)
        refuse_fields(self, "all_wrong", least=0, hint=", or null")

    def __call__(self, batch: Estimated) -> torch.Tensor:
        """Return the stage's half wave; see ``Weighting``."""
        return self.of(batch.pass_rates_P)

    def of(self, pass_rates_P: torch.Tensor) -> torch.Tensor:
        """Return the weight of a pass rate, (P,)."""
        # The sine of the nearer end: that of pi itself is not 0 in floating point.
        weights_P = torch.sin(math.pi * torch.minimum(pass_rates_P, 1 - pass_rates_P))
        if self.stage == "easy":
            weights_P = weights_P.masked_fill(pass_rates_P > 0.5, 1.0)
        elif self.stage == "hard":
            weights_P = weights_P.masked_fill(pass_rates_P <= 0.5, 1.0)
        value = ALL_WRONG[self.stage] if self.all_wrong is None else self.all_wrong
        return weights_P.masked_fill(pass_rates_P == 0, value)
