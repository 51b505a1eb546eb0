"""The length reward of GRPO-LEAD: right answers by their length's place among the right answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from observer.refusal import refuse_unless
from observer.rewards.base import Reward
from observer.rewards.length.measured import measured
from observer.types import Group, Score


@dataclass(frozen=True)
class LeadLength(Reward):
    """r = exp(-alpha (L - mean) / (std + eps)) if right, else -1: brief among the right answers.

    mean and std are of the lengths of the group's right answers. A single right answer, and right answers
    of equal length, get 1. It takes the place of ``Accuracy``. A group of which no answer could be checked
    gets none.

    Reference: GRPO-LEAD, arXiv 2504.09696. alpha 0.05 and the -1 of its final form are second hand. That
    std is of the population, and eps, are our choice: the authors' code of this reward was not found. Its
    weight by difficulty is a weighting's business, not a reward's.

    Assumes that the lengths of right answers spread evenly around their mean.

    Args:
        weight: what the value is multiplied by.
        alpha: how much a standard deviation of length matters, 0 to 10 (more overflows).
        wrong: value of an answer that is not right, at most 0; 0 is the paper's first form.
        eps: added to std, in tokens, > 0.

    >>> [round(value, 4) for value in LeadLength().values([100, 300, 200], [True, True, False])]
    [1.0513, 0.9512, -1.0]
    >>> LeadLength().values([100, 300], [True, False]), LeadLength().values([7], [False])
    ([1.0, -1.0], [-1.0])
    """

    weight: float = 1.0
    alpha: float = 0.05
    wrong: float = -1.0
    eps: float = 1e-6
    of_accuracy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse to reward length or wrong answers."""
        super().__post_init__()
        refuse_unless(0 <= self.alpha <= 10, self, "alpha", "give 0 to 10")
        refuse_unless(-math.inf < self.wrong <= 0, self, "wrong", "give 0 or less, finite")
        refuse_unless(0 < self.eps < math.inf, self, "eps", "give more than 0, finite")

    def values(self, lengths: Sequence[int], correct: Sequence[bool]) -> list[float]:
        """Return the value of each response.

        Args:
            lengths: completion tokens of each response.
            correct: which of them are right.
        """
        pairs = list(zip(lengths, correct, strict=True))
        right = [length for length, is_right in pairs if is_right]
        mean = sum(right) / max(len(right), 1)
        std = math.sqrt(math.fsum((length - mean) ** 2 for length in right) / max(len(right), 1))
        return [
            math.exp(-self.alpha * (length - mean) / (std + self.eps)) if is_right else self.wrong
            for length, is_right in pairs
        ]

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> Sequence[float | None]:
        """Return the value of each completion."""
        seen = measured(group, scores)
        return [None] * len(scores) if seen is None else self.values(*seen)
