"""A bound on how often a run visits a row."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from observer.curriculum.base import DrawRequest, Schedule, check_options
from observer.curriculum.index import LadderIndex
from observer.seeding import stable_seed
from observer.types import RefusedError


@dataclass(frozen=True)
class AtMost(Schedule):
    """Another schedule, with at most so many visits per row.

    A row that has had its visits is replaced by one of the same difficulty, chosen at random, or else by the
    nearest row in the ladder's order ``by`` that has visits left and is not in the batch. With ``visits``
    above 1, too few distinct rows may be left for the last batches. The horizon is the schedule's own.

    Reference: none; a guard against memorising a few rows.

    Args:
        schedule: the schedule whose draws are bounded.
        visits: most visits per row over the whole run, at least 1. Rows that dynamic sampling tried count.

    >>> from observer.curriculum import AdaptiveTarget
    >>> index = LadderIndex([0.0, 0.25, 0.5, 0.75], [1.0] * 4, [0] * 4)
    >>> once = AtMost(AdaptiveTarget(start=0.0), visits=1)
    >>> once.batch(DrawRequest(index, step=0, count=2, horizon=2, seed=0))
    [0, 1]
    >>> index.observe([0, 1], [0.0, 0.0], step=0)
    >>> sorted(once.batch(DrawRequest(index, step=1, count=2, horizon=2, seed=0)))
    [2, 3]
    """

    schedule: Schedule
    visits: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, visits=(1, math.inf))

    def draw(self, request: DrawRequest) -> list[int]:
        """Return the schedule's rows; those without visits left are replaced in their places.

        Raises:
            RefusedError: too few rows are left, or at the first step: there are too few for the horizon.
        """
        index, count = request.index, request.count
        if request.step == 0 and self.visits * len(index) < count * request.horizon:
            raise RefusedError(
                f"AtMost.visits is {self.visits}: {len(index)} rows are enough for "
                f"{self.visits * len(index) // count} rollouts of {count} prompts, and there are "
                f"{request.horizon}; raise visits, or add rows"
            )
        rows = self.schedule.batch(request)
        open_R = index.visits_R.numpy() < self.visits
        spent = numpy.flatnonzero(~open_R[rows]).tolist()
        if spent:
            chance = random.Random(stable_seed(request.seed, "at most", request.step))
            kept = {row for row in rows if open_R[row]}
            others = self._others(index, open_R, [rows[place] for place in spent], kept, chance)
            for place, row in zip(spent, others, strict=True):
                rows[place] = row
        return rows

    def _others(
        self,
        index: LadderIndex,
        open_R: numpy.ndarray,
        spent: Sequence[int],
        kept: set[int],
        chance: random.Random,
    ) -> Iterator[int]:
        """Yield a replacement with visits left for each spent row: none of ``kept``, none twice."""
        order_R = index.order(self.by).numpy()
        open_M = order_R[open_R[order_R]]
        if len(open_M) < len(spent) + len(kept):
            raise RefusedError(
                f"AtMost.visits is {self.visits}: {len(open_M)} rows are left that were visited less often, "
                f"and a step takes {len(spent) + len(kept)}; raise visits, add rows or end the run here"
            )
        column_M = index.column(self.by).numpy()[open_M]
        taken = set(kept)
        for row in spent:
            hard = column_M.dtype.type(index.column(self.by)[row])
            begin, end = numpy.searchsorted(column_M, hard), numpy.searchsorted(column_M, hard, side="right")
            start = chance.randrange(int(begin), max(int(end), int(begin) + 1))
            other = next(
                int(open_M[place]) for place in _outward(start, len(open_M)) if open_M[place] not in taken
            )
            taken.add(other)
            yield other

    def remember(
        self, request: DrawRequest, rows: Sequence[int], pass_rates: Sequence[float]
    ) -> dict[str, Any]:
        """Return what the schedule remembers."""
        return self.schedule.memory_after(request, rows, pass_rates)

    def stage(self, request: DrawRequest) -> str | None:
        """Return the schedule's stage."""
        return self.schedule.stage_name(request)


def _outward(start: int, size: int) -> Iterator[int]:
    """Yield all places from 0 to size - 1, nearest to ``start`` first."""
    for away in range(size + 1):  # the start may be the end
        yield from (place for place in dict.fromkeys((start - away, start + away)) if 0 <= place < size)
