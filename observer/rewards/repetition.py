"""The repetition penalty: n-grams of token ids that come again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from observer.refusal import refuse_unless
from observer.rewards.base import Reward
from observer.types import Group, Score


@dataclass(frozen=True)
class RepetitionPenalty(Reward):
    """r = unique n-grams / all n-grams - 1: a penalty on loops, from 0 (nothing repeats) towards -1.

    The n-grams are of the completion's token ids, the end token counted: words would need a language. A
    response of fewer than n tokens gets 0.

    Reference: Demystifying Long Chain-of-Thought, arXiv 2502.03373, appendix C.2, as one value per response
    and over token ids as in TRL 1.16. The paper itself penalises the repeated tokens one by one.

    Assumes that r is rarely 0 for good prose: n = 3 finds a few repeats in any longer text. A larger n
    finds loops only.

    Args:
        weight: what a response of nothing but repeats loses; positive.
        ngram_size: n, in tokens, 1 or more.

    >>> RepetitionPenalty(ngram_size=2).penalties([(5, 5, 5, 5, 5), (1, 2, 3), (1,)])
    [-0.75, 0.0, 0.0]
    """

    weight: float = 1.0
    ngram_size: int = 3

    def __post_init__(self) -> None:
        """Refuse n-grams of nothing."""
        super().__post_init__()
        refuse_unless(self.ngram_size >= 1, self, "ngram_size", "give 1 or more")

    def penalties(self, ids: Sequence[Sequence[int]]) -> list[float]:
        """Return each response's penalty.

        Args:
            ids: token ids of each response.
        """
        return [self._penalty(tuple(row)) for row in ids]

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> list[float]:
        """Return each completion's penalty, above -1 and at most 0."""
        return self.penalties([completion.ids for completion in group.completions])

    def _penalty(self, ids: tuple[int, ...]) -> float:
        count = len(ids) - self.ngram_size + 1
        if count < 1:
            return 0.0
        return len({ids[start : start + self.ngram_size] for start in range(count)}) / count - 1.0
