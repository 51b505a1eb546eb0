"""The plain curriculum: from easy to hard, or back."""

from __future__ import annotations

import random
from dataclasses import dataclass

from observer.curriculum.base import DrawRequest, Schedule
from observer.seeding import stable_seed


@dataclass(frozen=True)
class Sorted(Schedule):
    """Easy to hard, or hard to easy.

    The horizon is cut into as few equal passes as possible (their lengths differ by at most one step), none
    longer than R // count steps. Step t of a pass of L steps draws ``count`` rows from the window

        [t R // L, (t + 1) R // L)

    of the ladder sorted ``by``, without replacement, so that no row comes twice in a pass and every pass
    reaches the hardest rows. When horizon x count = R there is one pass and it is the sorted file, row by
    row. Beyond the horizon it stays on the last window, with fresh draws. Rows of a batch are in the ladder's
    order.

    Reference: the released code of Observe-R1, arXiv 2505.12432, whose curriculum is the order of its file.

    Args:
        descending: hard to easy instead.

    >>> from observer.curriculum import LadderIndex
    >>> index = LadderIndex([0.75, 0.0, 0.5, 0.5], [9.0, 3.0, 8.0, 7.0], [3, 0, 2, 2])
    >>> requests = [DrawRequest(index, step, count=2, horizon=2, seed=0) for step in range(3)]
    >>> [Sorted().batch(request) for request in requests]
    [[1, 3], [2, 0], [2, 0]]
    >>> Sorted(descending=True).batch(requests[0])
    [0, 2]
    """

    descending: bool = False

    def draw(self, request: DrawRequest) -> list[int]:
        """Return ``count`` rows of the step's window of the sorted ladder."""
        size, count, horizon = len(request.index), request.count, request.horizon
        local, length = place_in_pass(min(request.step, horizon - 1), horizon, longest=size // count)
        window = range(local * size // length, (local + 1) * size // length)
        places = sorted(
            random.Random(stable_seed(request.seed, "sorted", request.step)).sample(window, count)
        )
        order_R = request.index.order(self.by)
        last = size - 1
        return [int(order_R[last - place if self.descending else place]) for place in places]


def place_in_pass(step: int, horizon: int, longest: int) -> tuple[int, int]:
    """Cut a horizon into as few equal passes as possible and find a step in them.

    Pass j of n holds the steps [j horizon // n, (j + 1) horizon // n).

    Args:
        step: 0 .. horizon - 1.
        horizon: steps in all.
        longest: steps that a pass may have.

    Returns:
        The step's place in its pass, 0-based, and the steps of that pass.

    >>> [place_in_pass(step, horizon=5, longest=3) for step in range(5)]
    [(0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    """
    passes = -(-horizon // longest)
    number = ((step + 1) * passes - 1) // horizon
    begin, end = number * horizon // passes, (number + 1) * horizon // passes
    return step - begin, end - begin
