"""The bonus for the best response of a group. It reads verdicts and never changes what counts as correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from observer.rewards.base import Reward
from observer.rewards.length.measured import token_lengths
from observer.types import Group, RefusedError, Score

Constraint = Literal["eligible", "shortest"]
Ties = Literal["share", "all", "first"]


@dataclass(frozen=True)
class Bonus(Reward):
    """1 for the shortest correct response of the group within a length constraint, else 0.

    A candidate is correct, finished and formatted. Of length l in completion tokens, end token counted, it
    keeps the constraint when ``min_tokens < l <= max_tokens``. Responses that tie for the shortest share
    the 1 equally unless ``ties`` says otherwise. A group without a winner gets 0 throughout.

    Reference: Observe-R1, arXiv 2505.12432. The release is weight 0.2, ``min_tokens`` 100, ``constraint``
    shortest, ``ties`` first, ``after_normalisation`` false; it also lets unformatted and cut responses win,
    which no setting here does.

    Assumes that a shorter right answer is the better one; the floor keeps reasoning from being rewarded away.

    Args:
        weight: the reward of the winner; 0.2 in the release.
        min_tokens: a response of this many tokens or fewer does not keep the constraint.
        max_tokens: a response of more tokens than this does not keep the constraint; null for no cap.
        constraint: ``eligible`` takes the shortest of the candidates that keep the constraint;
            ``shortest`` takes the shortest candidate, and nobody wins when that one does not keep it, as in
            the release.
        ties: responses that tie ``share`` the 1, or ``all`` get 1, or only the ``first`` of the group does.
        after_normalisation: whether the bonus is added after the group's mean and std were taken.

    >>> lengths, candidates = [90, 150, 120, 120], [True, True, True, True]
    >>> Bonus(min_tokens=100).shares(lengths, candidates)
    [0.0, 0.0, 0.5, 0.5]
    >>> [Bonus(min_tokens=100, ties=ties).shares(lengths, candidates) for ties in ("all", "first")]
    [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]]
    >>> Bonus(min_tokens=100, constraint="shortest").shares(lengths, candidates)
    [0.0, 0.0, 0.0, 0.0]
    """

    weight: float = 0.2
    min_tokens: int = 0
    max_tokens: int | None = None
    constraint: Constraint = "eligible"
    ties: Ties = "share"
    after_normalisation: bool = True

    def __post_init__(self) -> None:
        """Refuse a length constraint that no response can keep, and names that mean nothing."""
        super().__post_init__()
        if self.min_tokens < 0:
            raise RefusedError(f"Bonus: min_tokens is {self.min_tokens}; give 0 or more")
        if self.max_tokens is not None and self.max_tokens <= self.min_tokens:
            raise RefusedError(
                f"Bonus: max_tokens is {self.max_tokens} and min_tokens {self.min_tokens}; "
                "give null or more than min_tokens"
            )
        if self.constraint not in get_args(Constraint):
            raise RefusedError(
                f"Bonus: constraint is {self.constraint!r}; give one of {', '.join(get_args(Constraint))}"
            )
        if self.ties not in get_args(Ties):
            raise RefusedError(f"Bonus: ties is {self.ties!r}; give one of {', '.join(get_args(Ties))}")

    def shares(self, lengths: Sequence[int], candidates: Sequence[bool]) -> list[float]:
        """Return each response's share of the bonus.

        Args:
            lengths: completion tokens of each response.
            candidates: which of them are correct, finished and formatted.
        """
        right = [length for length, candidate in zip(lengths, candidates, strict=True) if candidate]
        contenders = right if self.constraint == "shortest" else [n for n in right if self._keeps(n)]
        best = min(contenders, default=None)
        if best is None or not self._keeps(best):
            return [0.0] * len(lengths)
        tied = [
            place
            for place, (length, candidate) in enumerate(zip(lengths, candidates, strict=True))
            if candidate and length == best
        ]
        winners = tied[:1] if self.ties == "first" else tied
        share = 1.0 / len(winners) if self.ties == "share" else 1.0
        return [share if place in winners else 0.0 for place in range(len(lengths))]

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> list[float]:
        """Return each completion's share of the bonus."""
        pairs = list(zip(group.completions, scores, strict=True))
        return self.shares(
            token_lengths(group),
            [score.correct and score.formatted and completion.finished for completion, score in pairs],
        )

    def _keeps(self, length: int) -> bool:
        return self.min_tokens < length and (self.max_tokens is None or length <= self.max_tokens)
