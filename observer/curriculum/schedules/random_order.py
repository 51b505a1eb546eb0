"""No curriculum: uniform draws."""

from __future__ import annotations

from dataclasses import dataclass

from observer.curriculum.base import DrawRequest, Schedule
from observer.curriculum.dealing import permutation
from observer.seeding import stable_seed


@dataclass(frozen=True)
class Random(Schedule):
    """Uniform draws, without replacement within a pass over the ladder.

    A pass deals a permutation, seeded by the run's seed and the pass, in R // count steps. The R % count rows
    left over differ from pass to pass, so every row is drawn equally often in expectation. ``by`` and the
    horizon are not used.

    >>> from observer.curriculum import LadderIndex
    >>> index = LadderIndex([0.0] * 7, [0.0] * 7, [0] * 7)
    >>> requests = [DrawRequest(index, step, count=3, horizon=9, seed=0) for step in range(2)]  # a pass
    >>> batches = [Random().batch(request) for request in requests]
    >>> len(set(batches[0] + batches[1]))
    6
    """

    def draw(self, request: DrawRequest) -> list[int]:
        """Return the next ``count`` rows of the pass that the step is in."""
        size, count = len(request.index), request.count
        number, local = divmod(request.step, size // count)
        order_R = permutation(stable_seed(request.seed, "random", number), size)
        return order_R[local * count : (local + 1) * count].tolist()
