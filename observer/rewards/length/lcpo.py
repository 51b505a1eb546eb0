"""Length control: the question names a number of tokens, and the reward holds the response to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from observer.refusal import refuse_unless
from observer.rewards.base import Reward
from observer.rewards.length.measured import measured
from observer.types import Group, Problem, Score

LCPOForm = Literal["exact", "max"]


@dataclass(frozen=True)
class LCPO(Reward):
    """r = right - alpha |n - L|, or right clip(alpha (n - L) + delta, 0, 1): right, at or below n tokens.

    right is 1 or 0, L the completion tokens. The first is ``form`` exact, the second max. It takes the place
    of ``Accuracy``. n is the row's; a row without one gets no value, nor does a group of which no answer
    could be checked.

    Reference: L1, arXiv 2503.04697. Its alpha for exact is 0.0003 (the authors' script). The form max with
    delta 0.5 is from memory, and its alpha is not known: their code has several. At L = n a right answer
    gets delta.

    Assumes that the question says n: "Think for n tokens." (exact) or "Think for maximum n tokens." (max).
    Neither form limits how far exact falls.

    Args:
        weight: what the value is multiplied by.
        form: ``exact`` pulls right and wrong answers to n; ``max`` rewards right answers below n.
        alpha: what a token costs, 0 or more.
        delta: value of a right answer of n tokens, form max only, 0 to 1.
        target_tokens: n of the rows whose metadata has none, 1 or more; null for none.
        field: the name of n in a row's metadata.

    >>> [round(value, 3) for value in LCPO().values([2000, 1000, 1000], [True, True, False], target=1000)]
    [0.7, 1.0, 0.0]
    >>> [LCPO(form="max", alpha=0.001).values([n], [True], target=1000)[0] for n in (100, 1000, 1250, 1600)]
    [1.0, 0.5, 0.25, 0.0]
    """

    weight: float = 1.0
    form: LCPOForm = "exact"
    alpha: float = 0.0003
    delta: float = 0.5
    target_tokens: int | None = None
    field: str = "target_tokens"
    of_accuracy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse a form that does not exist, and numbers that reward what the form is against."""
        super().__post_init__()
        refuse_unless(
            self.form in get_args(LCPOForm), self, "form", f"give one of {', '.join(get_args(LCPOForm))}"
        )
        refuse_unless(0 <= self.alpha < math.inf, self, "alpha", "give 0 or more, finite")
        refuse_unless(0 <= self.delta <= 1, self, "delta", "give 0 to 1")
        refuse_unless(
            self.target_tokens is None or self.target_tokens >= 1,
            self,
            "target_tokens",
            "give null or 1 or more",
        )

    def values(self, lengths: Sequence[int], correct: Sequence[bool], target: int) -> list[float]:
        """Return the value of each response.

        Args:
            lengths: completion tokens of each response.
            correct: which of them are right.
            target: n, in tokens.
        """
        pairs = zip(lengths, correct, strict=True)
        if self.form == "exact":
            return [right - self.alpha * abs(target - length) for length, right in pairs]
        return [
            min(max(self.alpha * (target - length) + self.delta, 0.0), 1.0) if right else 0.0
            for length, right in pairs
        ]

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> Sequence[float | None]:
        """Return the value of each completion."""
        seen, target = measured(group, scores), self._target(group.problem)
        return [None] * len(scores) if seen is None or target is None else self.values(*seen, target)

    def _target(self, problem: Problem) -> int | None:
        target = problem.metadata.get(self.field)
        if target is None:
            return self.target_tokens
        if not isinstance(target, int) or isinstance(target, bool) or target < 1:
            raise ValueError(
                f"metadata {self.field!r} is {target!r}; give a whole number of tokens, 1 or more"
            )
        return target
