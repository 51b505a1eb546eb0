"""A bound on how often a run visits a row."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from observer.curriculum.base import Schedule, Turn, check_options
from observer.curriculum.index import LadderIndex
from observer.seeding import stable_seed
from observer.types import RefusedError


@dataclass(frozen=True)
class AtMost(Schedule):
    """Another schedule, without rows that were visited often enough.

    A row that has its visits is passed over for one that is as hard, chosen at random, or else for the
    nearest one in the ladder's order ``by`` that may still be drawn and is not in the batch. With more than
    one visit, the last batches that the rows are enough for may want for distinct ones. The horizon is the
    schedule's own.

    Reference: none; a guard against learning a few rows by heart.

    Args:
        schedule: what is drawn otherwise.
        visits: of a row over the whole run, at least 1. Rows that dynamic sampling has tried were visited.

    >>> from observer.curriculum import AdaptiveTarget
    >>> index = LadderIndex([0.0, 0.25, 0.5, 0.75], [1.0] * 4, [0] * 4)
    >>> once = AtMost(AdaptiveTarget(start=0.0), visits=1)
    >>> once.batch(Turn(index, step=0, count=2, horizon=2, seed=0))
    [0, 1]
    >>> index.observe([0, 1], [0.0, 0.0], step=0)
    >>> sorted(once.batch(Turn(index, step=1, count=2, horizon=2, seed=0)))
    [2, 3]
    """

    schedule: Schedule
    visits: int

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, visits=(1, math.inf))

    def draw(self, turn: Turn) -> list[int]:
        """Return the schedule's rows, those that may not be drawn replaced in their places.

        Raises:
            RefusedError: too few rows are left, or at the first step: there are too few for the horizon.
        """
        index, count = turn.index, turn.count
        if turn.step == 0 and self.visits * len(index) < count * turn.horizon:
            raise RefusedError(
                f"AtMost.visits is {self.visits}: {len(index)} rows are enough for "
                f"{self.visits * len(index) // count} rollouts of {count} prompts, and there are "
                f"{turn.horizon}; raise visits, or add rows"
            )
        rows = self.schedule.batch(turn)
        open_R = index.visits_R.numpy() < self.visits
        spent = numpy.flatnonzero(~open_R[rows]).tolist()
        if spent:
            chance = random.Random(stable_seed(turn.seed, "at most", turn.step))
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
        """Yield a row in the place of each that is spent: an open one, none that is kept, none twice."""
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

    def remember(self, turn: Turn, rows: Sequence[int], pass_rates: Sequence[float]) -> dict[str, Any]:
        """Return what the schedule remembers."""
        return self.schedule.memory_after(turn, rows, pass_rates)

    def stage(self, turn: Turn) -> str | None:
        """Return the schedule's stage."""
        return self.schedule.stage_name(turn)


def _outward(start: int, size: int) -> Iterator[int]:
    """Yield all places from 0 to size - 1, near ones first."""
    for away in range(size):
        yield from (place for place in dict.fromkeys((start - away, start + away)) if 0 <= place < size)
