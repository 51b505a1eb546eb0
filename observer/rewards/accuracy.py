"""The accuracy reward. The verifier decides what is correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from observer.rewards.base import Reward
from observer.types import Group, Score


@dataclass(frozen=True)
class Accuracy(Reward):
    """1 for a correct answer, 0 for a wrong or unverifiable one.

    Reference: Observe-R1, arXiv 2505.12432 (weight 1).

    Args:
        weight: the reward of a correct answer.

    >>> from observer.types import Score, Verdict
    >>> scores = [Score(verdict, "", None, True) for verdict in (Verdict.CORRECT, Verdict.WRONG)]
    >>> Accuracy()(None, scores, step=0)  # the group is not looked at
    [1.0, 0.0]
    """

    weight: float = 1.0
    of_accuracy: ClassVar[bool] = True

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> list[float]:
        """Return 1 for each correct completion, else 0."""
        return [float(score.correct) for score in scores]
