"""The schedule without a curriculum: uniform draws."""

from __future__ import annotations

from dataclasses import dataclass

from observer.curriculum.base import Schedule, Turn
from observer.curriculum.dealing import permutation
from observer.seeding import stable_seed


@dataclass(frozen=True)
class Random(Schedule):
    """Uniform draws, without replacement within a pass over the ladder.

    A pass deals a permutation, seeded by the run's seed and the pass, in R // count steps. The R % count rows
    that are then left over are others in every pass, so every row is drawn equally often in expectation.
    ``by`` and the horizon are not used: it has no order.

    >>> from observer.curriculum import LadderIndex
    >>> index = LadderIndex([0.0] * 7, [0.0] * 7, [0] * 7)
    >>> turns = [Turn(index, step, count=3, horizon=9, seed=0) for step in range(2)]  # a pass: 7 // 3
    >>> batches = [Random().batch(turn) for turn in turns]
    >>> len(set(batches[0] + batches[1]))
    6
    """

    def draw(self, turn: Turn) -> list[int]:
        """Return the next ``count`` rows of the pass that the step is in."""
        size, count = len(turn.index), turn.count
        number, local = divmod(turn.step, size // count)
        order_R = permutation(stable_seed(turn.seed, "random", number), size)
        return order_R[local * count : (local + 1) * count].tolist()
