"""The length reward of Kimi k1.5: lengths against the shortest and the longest of the group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from observer.refusal import refuse_unless
from observer.rewards.base import Reward
from observer.rewards.length.measured import measured
from observer.types import Group, Score


@dataclass(frozen=True)
class KimiLength(Reward):
    """r = 1/2 - (L - min) / (max - min), of a wrong answer at most 0: the short of a group over the long.

    min and max are of all responses of the group, right and wrong. Where they are equal, r is 0 throughout. A
    group of which no answer could be checked gets none.

    Reference: Kimi k1.5, arXiv 2501.12599, section 2.3.3 (read in a transcription). It is added to the reward
    for accuracy with a weight that was not published, and only after a time without it (``from_step``).

    Assumes that lengths are to be compared however little they vary in a group: one token of difference
    gives the full range.

    Args:
        weight: what the value is multiplied by.
        from_step: rollouts before it applies, 0 or more; until then nobody gets a value.

    >>> KimiLength().values([100, 200, 300], [True, True, False])
    [0.5, 0.0, -0.5]
    >>> KimiLength().values([100, 200, 300], [False, True, True]), KimiLength().values([5, 5], [True, False])
    ([0.0, 0.0, -0.5], [0.0, 0.0])
    """

    weight: float = 1.0
    from_step: int = 0

    def __post_init__(self) -> None:
        """Refuse a negative step."""
        super().__post_init__()
        refuse_unless(self.from_step >= 0, self, "from_step", "give 0 or more rollouts")

    def values(self, lengths: Sequence[int], correct: Sequence[bool]) -> list[float]:
        """Return each response's value.

        Args:
            lengths: completion tokens of each response.
            correct: which of them are right.
        """
        shortest, longest = min(lengths, default=0), max(lengths, default=0)
        if shortest == longest:
            return [0.0] * len(lengths)
        values = [0.5 - (length - shortest) / (longest - shortest) for length in lengths]
        return [value if right else min(0.0, value) for value, right in zip(values, correct, strict=True)]

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> Sequence[float | None]:
        """Return each completion's value, -1/2 to 1/2."""
        seen = measured(group, scores)
        early = 0 <= step < self.from_step  # evaluation has negative steps
        return [None] * len(scores) if seen is None or early else self.values(*seen)
