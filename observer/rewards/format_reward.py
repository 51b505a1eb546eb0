"""The format reward. The response format decides which responses keep it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from observer.rewards.base import Reward
from observer.types import Group, Score


@dataclass(frozen=True)
class Format(Reward):
    """1 for a response that keeps the response format, else 0 or, graded, the share of its blocks in place.

    A required block is in place when it is there exactly once, not blank, after the others in place.
    Text around the blocks breaks the format and takes nothing from the share: graded, such a response can
    get 1, but its answer counts only where the whole format is kept. Formats without blocks are all or
    nothing.

    Reference: Observe-R1, arXiv 2505.12432 (weight 0.5, all or nothing). The share is our own; open-r1 counts
    tags in the same spirit, whatever their order.

    Args:
        weight: the reward of a response that keeps the format.
        graded: whether a broken format earns the share of it that is there.

    >>> from observer.types import Score, Verdict
    >>> scores = [Score(Verdict.WRONG, "", None, formatted, share=2 / 4) for formatted in (True, False)]
    >>> [Format(graded=graded)(None, scores, step=0) for graded in (False, True)]  # no group is looked at
    [[1.0, 0.0], [1.0, 0.5]]
    """

    weight: float = 0.5
    graded: bool = False

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> list[float]:
        """Return 1 for each completion that keeps the format, else 0 or the share."""
        broken = [score.share if self.graded else 0.0 for score in scores]
        return [1.0 if score.formatted else share for score, share in zip(scores, broken, strict=True)]
