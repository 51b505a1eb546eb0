"""Every group weighs the same."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from observer.objective.weightings.base import Weighting
from observer.types import Estimated


@dataclass(frozen=True)
class Uniform(Weighting):
    """f(p) = 1: every group weighs the same, as in plain GRPO.

    >>> from types import SimpleNamespace
    >>> Uniform()(SimpleNamespace(pass_rates_P=torch.tensor([0.0, 0.5, 1.0]))).tolist()
    [1.0, 1.0, 1.0]
    """

    def __call__(self, batch: Estimated) -> torch.Tensor:
        """Return ones; see ``Weighting``."""
        return torch.ones_like(batch.pass_rates_P)
