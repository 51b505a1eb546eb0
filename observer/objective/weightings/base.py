"""The family of group weightings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch

from observer.refusal import refuse_unknown
from observer.types import Estimated

Share = Literal["all", "accuracy"]


@dataclass(frozen=True, kw_only=True)
class Weighting(ABC):
    """Gives drawn groups a weight, never negative. It has no say in what is drawn.

    A concrete weighting is a frozen dataclass. One with a ``__post_init__`` of its own calls this one.

    Args:
        normalise: divide the weights by their mean over the completions of all groups whose rewards differ,
            so that they change who counts and not how large a step is.
        apply_to: ``all`` of an advantage, or only the share of it that comes from rewards for accuracy: then
            groups of weight 0 still learn the format. A bonus that is added later belongs to that share.
    """

    normalise: bool = False
    apply_to: Share = "all"

    def __post_init__(self) -> None:
        """Refuse an unknown share."""
        refuse_unknown(self, "apply_to", Share)

    @abstractmethod
    def __call__(self, batch: Estimated) -> torch.Tensor:
        """Return one weight per group, (P,), or per completion, (P, G): >= 0, float64.

        Args:
            batch: the groups of this rank, their scores, pass rates and unweighted advantages.
        """
