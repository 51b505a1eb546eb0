"""A target difficulty that follows how well the policy does."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy

from observer.curriculum.base import DrawRequest, Schedule, check_options
from observer.curriculum.dealing import least_visited
from observer.curriculum.index import LadderIndex
from observer.seeding import stable_seed


@dataclass(frozen=True)
class AdaptiveTarget(Schedule):
    """The rows nearest to a target difficulty that rises while the policy does well (AdaRFT).

    With R the mean pass rate of the step, after it

        T <- clip(T + eta tanh(alpha (R - beta)), d_min, d_max),

    d_min and d_max the least and greatest difficulty of the ladder. A step draws the rows with the smallest
    |d - T|. Many rows have the same difficulty: among rows at the same distance it takes the least visited,
    and among these the first in the ladder's order if ``by`` is both, otherwise any. If ``by`` is complexity,
    d is the complexity, scaled to [0, 1] over the ladder. The horizon is not used.

    Reference: AdaRFT, arXiv 2504.05520. Formula and defaults of alpha and beta were checked against a summary
    of the paper, not the paper itself. Its eta of 50 for difficulties in [0, 100] is .5 here, its R is the
    mean reward, and choosing by visits is an addition.

    Args:
        start: T of the first step, 0 .. 1.
        eta: the largest step of T, above 0.
        alpha: how sharply T reacts, above 0.
        beta: the pass rate at which T stays where it is, 0 .. 1.

    >>> index = LadderIndex([0.0, 0.25, 0.5, 1.0], [1.0] * 4, [0] * 4)
    >>> adaptive = AdaptiveTarget(start=0.2)
    >>> first = DrawRequest(index, step=0, count=2, horizon=9, seed=0)
    >>> sorted(adaptive.batch(first))  # .05 and .2 away
    [0, 1]
    >>> index.memory = adaptive.memory_after(first, [0, 1], [1.0, 1.0])  # .2 + .5 tanh(2 (1 - .5))
    >>> round(index.memory["target"], 4)
    0.5808
    >>> sorted(adaptive.batch(DrawRequest(index, step=1, count=2, horizon=9, seed=0)))  # .08 and .33 away
    [1, 2]
    """

    start: float = 0.0
    eta: float = 0.5
    alpha: float = 2.0
    beta: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, start=(0, 1), eta=(1e-9, 1e9), alpha=(1e-9, 1e9), beta=(0, 1))

    def target(self, index: LadderIndex, memory: dict[str, Any]) -> float:
        """Return T, clipped to the difficulties of the ladder."""
        low, high = (self._scaled(index, self._value(index, place)) for place in (0, len(index) - 1))
        return min(max(float(memory.get("target", self.start)), low), high)

    def draw(self, request: DrawRequest) -> list[int]:
        """Return the ``count`` rows nearest to the target, easy ones first."""
        index, count = request.index, request.count
        known = index.memory.get("target", 0.0)
        if type(known) is not float or not 0 <= known <= 1:  # from a checkpoint that no run has written
            raise ValueError(f"memory's target is {known!r}, no number in 0 .. 1")
        target = self._unscaled(index, self.target(index, index.memory))
        middle = index.place(self.by, target)
        order_R, column_R = index.order(self.by).numpy(), index.column(self.by).numpy()
        window = order_R[max(0, middle - count) : middle + count]
        values_N = column_R[window].astype(numpy.float64)
        away_N = numpy.abs(values_N - target)
        reach = float(numpy.partition(away_N, count - 1)[count - 1])
        low, high = float(values_N[away_N <= reach].min()), float(values_N[away_N <= reach].max())
        begin, end = index.place(self.by, low), index.place(self.by, high, after=True)
        # all rows nearer than the farthest are drawn, and some of those at its distance
        near_begin = index.place(self.by, low, after=True) if target - low == reach else begin
        near_end = index.place(self.by, high) if high - target == reach else end
        near_end = max(near_begin, near_end)
        farthest = numpy.concatenate([order_R[begin:near_begin], order_R[near_end:end]])
        near = order_R[near_begin:near_end]
        chance = random.Random(stable_seed(request.seed, "adaptive target", request.step))
        among_equals = None if self.by == "both" else chance
        chosen = least_visited(index.visits_R.numpy(), count - len(near), among_equals, farthest)
        rows = numpy.concatenate([near, chosen])
        easy_first: list[int] = rows[numpy.argsort(column_R[rows], kind="stable")].tolist()
        return easy_first

    def remember(
        self, request: DrawRequest, rows: Sequence[int], pass_rates: Sequence[float]
    ) -> dict[str, Any]:
        """Return the next step's target."""
        index = request.index
        if not rows:
            return index.memory
        move = self.eta * math.tanh(self.alpha * (fmean(pass_rates) - self.beta))
        return {"target": self.target(index, {"target": self.target(index, index.memory) + move})}

    def _value(self, index: LadderIndex, place: int) -> float:
        return float(index.column(self.by)[index.order(self.by)[place]])

    def _scaled(self, index: LadderIndex, value: float) -> float:
        if self.by != "complexity":
            return value
        low, high = self._value(index, 0), self._value(index, len(index) - 1)
        return (value - low) / (high - low) if high > low else 0.0

    def _unscaled(self, index: LadderIndex, value: float) -> float:
        if self.by != "complexity":
            return value
        low, high = self._value(index, 0), self._value(index, len(index) - 1)
        return low + value * (high - low)
