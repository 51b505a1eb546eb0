"""The cosine length reward: the value of an answer follows half a cosine of its length."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from observer.refusal import refuse_unless
from observer.rewards.base import Reward
from observer.rewards.length.measured import measured
from observer.types import Group, RefusedError, Score


@dataclass(frozen=True)
class CosineLength(Reward):
    """r = long + (short - long) (1 + cos(pi min(L / M, 1))) / 2: right answers brief, wrong ones at length.

    ``short`` is the value at length 0 and ``long`` that at M tokens, one pair for right answers and one for
    wrong ones. Beyond M the value stays that of M. It takes the place of ``Accuracy``. A group of which no
    answer could be checked gets none.

    Reference: Demystifying Long Chain-of-Thought, arXiv 2502.03373, appendix C.1, in the form and with the
    values of TRL 1.16: completion tokens, and a clamp at M. The paper instead gives a response of M - 16
    tokens or more a value of its own, and its values are 2 and 1 for right answers, -10 and 0 for wrong
    ones.

    Assumes that longer thought helps where the answer is wrong.

    Args:
        weight: what the value is multiplied by.
        max_tokens: M, in tokens, 1 or more; null for the limit of the sampling.
        right_short: value of a right answer of no length.
        right_long: value of a right answer of M tokens or more.
        wrong_short: value of a wrong answer of no length.
        wrong_long: value of a wrong answer of M tokens or more; no right answer may get less than a
            wrong.

    >>> [round(value, 3) for value in CosineLength().values([0, 50, 100, 150], [True] * 4, limit=100)]
    [1.0, 0.75, 0.5, 0.5]
    >>> [round(value, 3) for value in CosineLength().values([0, 50, 100, 150], [False] * 4, limit=100)]
    [-1.0, -0.75, -0.5, -0.5]
    """

    weight: float = 1.0
    max_tokens: int | None = None
    right_short: float = 1.0
    right_long: float = 0.5
    wrong_short: float = -1.0
    wrong_long: float = -0.5
    of_accuracy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a limit of nothing, and values that prefer a wrong answer to a right one."""
        super().__post_init__()
        refuse_unless(
            self.max_tokens is None or self.max_tokens >= 1, self, "max_tokens", "give null or 1 or more"
        )
        for name in ("right_short", "right_long", "wrong_short", "wrong_long"):
            refuse_unless(math.isfinite(getattr(self, name)), self, name, "give a finite number")
        right, wrong = min(self.right_short, self.right_long), max(self.wrong_short, self.wrong_long)
        if right < wrong:
            raise RefusedError(
                f"CosineLength: a right answer may be worth {right} and a wrong one {wrong}; "
                "give no right answer less than a wrong one"
            )

    def values(self, lengths: Sequence[int], correct: Sequence[bool], limit: int) -> list[float]:
        """Return the value of each response.

        Args:
            lengths: completion tokens of each response.
            correct: which of them are right.
            limit: M, in tokens.
        """
        values = []
        for length, right in zip(lengths, correct, strict=True):
            short, long = (
                (self.right_short, self.right_long) if right else (self.wrong_short, self.wrong_long)
            )
            values.append(long + (short - long) * (1 + math.cos(math.pi * min(length / limit, 1.0))) / 2)
        return values

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> Sequence[float | None]:
        """Return the value of each completion."""
        seen = measured(group, scores)
        limit = group.sampling.max_tokens if self.max_tokens is None else self.max_tokens
        return [None] * len(scores) if seen is None else self.values(*seen, limit)
