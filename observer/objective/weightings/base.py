"""The family of group weightings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from observer.types import Group


class Weighting(ABC):
    """Weighs groups: says what a drawn sample is worth, never what is drawn. Weights are never negative."""

    @abstractmethod
    def __call__(self, pass_rates_P: torch.Tensor, groups: Sequence[Group]) -> torch.Tensor:
        """Return one weight a group, (P,), >= 0, of the dtype of the pass rates.

        Args:
            pass_rates_P: share of each group's completions whose verdict is correct, float64, in [0, 1].
            groups: the P groups, for weightings that look at metadata or lengths.
        """
