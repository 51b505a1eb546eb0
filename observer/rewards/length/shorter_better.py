"""The reward of ShorterBetter: the target of a length is the shortest right answer of the group itself."""

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
class ShorterBetter(Reward):
    """r = alpha right - beta |L - SOL|: right, and as long as the group's shortest right answer, SOL.

    right is 1 or 0, L the completion tokens. Where no answer is right, SOL is the mean length of the group.
    It takes the place of ``Accuracy``. A group of which no answer could be checked gets none.

    Reference: ShorterBetter, arXiv 2504.21370 (formula second hand); alpha and beta as in the authors' code.

    Assumes lengths of a few thousand tokens: r has no lower bound, 8,000 tokens off cost 8. A wrong answer
    that is shorter than SOL loses too.

    Args:
        weight: what the value is multiplied by.
        alpha: the value of a right answer, 0 or more.
        beta: what a token off the target costs, 0 or more.

    >>> [round(value, 3) for value in ShorterBetter().values([100, 300, 40], [True, True, False])]
    [2.0, 1.8, -0.06]
    >>> [round(value, 3) for value in ShorterBetter().values([100, 300], [False, False])]
    [-0.1, -0.1]
    """

    weight: float = 1.0
    alpha: float = 2.0
    beta: float = 0.001
    of_accuracy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse to reward wrong answers or distance from the target."""
        super().__post_init__()
        for name in ("alpha", "beta"):
            refuse_unless(0 <= getattr(self, name) < math.inf, self, name, "give 0 or more, finite")

    def values(self, lengths: Sequence[int], correct: Sequence[bool]) -> list[float]:
        """Return the value of each response.

        Args:
            lengths: completion tokens of each response.
            correct: which of them are right.
        """
        pairs = list(zip(lengths, correct, strict=True))
        right = [length for length, is_right in pairs if is_right]
        target = min(right) if right else sum(lengths) / max(len(lengths), 1)
        return [self.alpha * is_right - self.beta * abs(length - target) for length, is_right in pairs]

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> Sequence[float | None]:
        """Return the value of each completion."""
        seen = measured(group, scores)
        return [None] * len(scores) if seen is None else self.values(*seen)
