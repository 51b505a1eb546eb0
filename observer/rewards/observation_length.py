"""The length of the observe block. It reads no meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from observer.refusal import refuse_unless
from observer.rewards.base import Reward
from observer.rewards.blocks import find_block
from observer.types import Completion, Group, RefusedError, Score

LengthUnit = Literal["tokens", "characters"]


@dataclass(frozen=True)
class ObservationLength(Reward):
    """r = min(1, n / low, high / n): keeps the observe block's length n between two bounds.

    1 between the bounds, and less the further outside. A response whose observe block is missing, blank or
    there more than once gets 0.

    Reference: none, our own: the release rewards only that the block is there. Kin: Perception-R1, arXiv
    2506.07218, rewards what it says.

    Assumes, for ``unit`` tokens, that a block has the share of the response's tokens that it has of its
    characters: nothing here has a tokenizer. ``characters`` are exact. Outer blanks do not count.

    Args:
        weight: the reward of a block within the bounds.
        low: lower bound, in units, 0 or more.
        high: upper bound, in units, at least ``low`` and 1; null for none.
        unit: ``tokens`` (estimated) or ``characters``.

    >>> [ObservationLength(low=20, high=40).value(n) for n in (5, 20, 40, 80)]
    [0.25, 1.0, 1.0, 0.5]
    """

    weight: float = 0.1
    low: int = 1
    high: int | None = None
    unit: LengthUnit = "tokens"

    def __post_init__(self) -> None:
        """Refuse bounds that no block can keep."""
        super().__post_init__()
        refuse_unless(self.low >= 0, self, "low", "give 0 or more")
        refuse_unless(self.high is None or self.high >= 1, self, "high", "give null or 1 or more")
        if self.high is not None and self.high < self.low:
            raise RefusedError(
                f"ObservationLength.high is {self.high} and low {self.low}; give at least that"
            )
        units = get_args(LengthUnit)
        refuse_unless(self.unit in units, self, "unit", f"give one of {', '.join(units)}")

    def value(self, length: float) -> float:
        """Return the value of a block.

        Args:
            length: n, in units, > 0.
        """
        below = length / self.low if self.low else 1.0
        return min(1.0, below, 1.0 if self.high is None else self.high / length)

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> list[float]:
        """Return the value of each completion's block, 0 to 1."""
        lengths = [self._length(completion) for completion in group.completions]
        return [self.value(length) if length else 0.0 for length in lengths]

    def _length(self, completion: Completion) -> float:
        block = find_block(completion.text, "observe")
        if block is None:
            return 0.0
        if self.unit == "characters":
            return len(block)
        return len(completion.ids) * len(block) / len(completion.text)
