"""The format reward. What the format is and who keeps it is the response format's business."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from observer.rewards.base import Reward
from observer.types import Group, Score


@dataclass(frozen=True)
class Format(Reward):
    """1 for a response that keeps the response format, else 0.

    Reference: Observe-R1, arXiv 2505.12432 (weight 0.5).

    Args:
        weight: what keeping the format is worth.

    >>> from observer.types import Score, Verdict
    >>> scores = [Score(Verdict.WRONG, "", None, formatted) for formatted in (True, False)]
    >>> Format()(None, scores, step=0)  # the group is not looked at
    [1.0, 0.0]
    """

    weight: float = 0.5

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> list[float]:
        """Return 1 for each completion that keeps the format, else 0."""
        return [float(score.formatted) for score in scores]
