"""The schedule without a curriculum: uniform draws."""

from __future__ import annotations

from dataclasses import dataclass

from observer.curriculum.base import Schedule
from observer.curriculum.dealing import permutation
from observer.curriculum.index import LadderIndex
from observer.seeding import stable_seed


@dataclass(frozen=True)
class Random(Schedule):
    """Uniform draws, without replacement within a pass over the ladder.

    A pass deals a permutation, seeded by the run's seed and the pass, in R // count steps. The R % count rows
    that are then left over are others in every pass, so every row is drawn equally often in expectation.
    ``by`` and the horizon are not used: it has no order.

    >>> ladder = LadderIndex([0.0] * 7, [0.0] * 7, [0] * 7)
    >>> batches = [Random().draw(ladder, step, 3, horizon=9, seed=0) for step in range(2)]  # a pass: 7 // 3
    >>> len(set(batches[0] + batches[1]))
    6
    """

    def draw(self, ladder: LadderIndex, step: int, count: int, horizon: int, seed: int) -> list[int]:
        """Return the next ``count`` rows of the pass that the step is in."""
        self.begin(ladder, step, count, horizon)
        number, local = divmod(step, len(ladder) // count)
        order_R = permutation(stable_seed(seed, "random", number), len(ladder))
        return order_R[local * count : (local + 1) * count].tolist()
