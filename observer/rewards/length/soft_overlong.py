"""The soft overlong penalty. It looks at lengths alone and never at what is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from observer.refusal import refuse_unless
from observer.rewards.base import Reward
from observer.rewards.length.measured import token_lengths
from observer.types import Group, RefusedError, Score


@dataclass(frozen=True)
class SoftOverlong(Reward):
    """r = -clip((L - (M - C)) / C, 0, 1): a penalty that grows over the last C tokens before the limit M.

    With L the completion tokens: 0 up to M - C, then linear down to -1 at M, and -1 beyond. With C = 0 it
    is 0 up to M and -1 beyond.

    Reference: DAPO, arXiv 2503.14476, equation 13; there M is 20,480 and C 4,096, a fifth of it, so that the
    penalty starts at 16,384.

    Assumes that M is at most ``max_tokens`` of the sampling: a longer response cannot be drawn. A cut
    response of M tokens gets -1, whatever was cut off.

    Args:
        weight: what a response at the limit loses; positive.
        max_tokens: M, in tokens, 1 or more; null for the limit of the sampling.
        cache_tokens: C, in tokens, 0 to M; null for a fifth of M, rounded down.

    >>> SoftOverlong(cache_tokens=20).penalties([80, 90, 100, 101], limit=100)
    [0.0, -0.5, -1.0, -1.0]
    >>> SoftOverlong(cache_tokens=0).penalties([100, 101], limit=100)
    [0.0, -1.0]
    """

    weight: float = 1.0
    max_tokens: int | None = None
    cache_tokens: int | None = None

    def __post_init__(self) -> None:
        """Refuse a limit of nothing and a cache that is longer than the limit."""
        super().__post_init__()
        limit, cache = self.max_tokens, self.cache_tokens
        refuse_unless(limit is None or limit >= 1, self, "max_tokens", "give null or 1 or more")
        refuse_unless(cache is None or cache >= 0, self, "cache_tokens", "give null or 0 or more")
        if limit is not None and cache is not None and cache > limit:
            raise RefusedError(
                f"SoftOverlong.cache_tokens is {cache} and max_tokens {limit}; give at most that"
            )

    def penalties(self, lengths: Sequence[int], limit: int) -> list[float]:
        """Return each response's penalty.

        Args:
            lengths: completion tokens of each response.
            limit: M, in tokens.

        Raises:
            RefusedError: ``cache_tokens`` is more than the limit.
        """
        cache = limit // 5 if self.cache_tokens is None else self.cache_tokens
        if cache > limit:
            raise RefusedError(
                f"SoftOverlong.cache_tokens is {cache} and the limit {limit}; give at most that"
            )
        free = limit - cache
        # Not a clip of a quotient: C may be 0.
        return [0.0 if n <= free else -1.0 if n >= limit else -(n - free) / cache for n in lengths]

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> list[float]:
        """Return each completion's penalty, -1 to 0."""
        limit = group.sampling.max_tokens if self.max_tokens is None else self.max_tokens
        return self.penalties(token_lengths(group), limit)
