"""One rung at a time, up or down by the policy's pass rate on it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy

from observer.curriculum.base import DrawRequest, Schedule, check_options
from observer.curriculum.dealing import counts_by_share, fit, least_visited, spread_offsets
from observer.curriculum.index import RUNGS, LadderIndex
from observer.seeding import stable_seed
from observer.types import RefusedError


@dataclass(frozen=True)
class SelfPaced(Schedule):
    """One rung at a time: up when the pass rate is high, down when it is low, with replay of easier rungs.

    It starts on the easiest rung that has rows (rungs as in ``NeuraLadder``). With m the mean pass rate of
    the last ``patience`` steps, of rows of the present rung only, it goes

        one rung up when m >= promote,   one rung down when m <= demote,

    and starts counting again. The share ``replay`` of a step goes to the rungs below, equally. Within a rung
    the least visited rows come first, and among these the simplest (any, if ``by`` is difficulty). If a rung
    has too few rows, the nearest rungs fill up. The horizon is not used.

    Reference: none; the rule is ours. Without replay, a policy trained strictly from easy to hard lost its
    early levels.

    Args:
        promote: mean pass rate to go up at, above ``demote``, at most 1.
        demote: mean pass rate to go down at, at least 0.
        patience: steps whose mean decides, at least 1.
        replay: share of a step for the rungs below, 0 .. 0.9.

    >>> index = LadderIndex([0.0, 0.0, 1.0, 1.0], [2.0, 1.0, 3.0, 4.0], [0, 0, 8, 8])
    >>> paced = SelfPaced(patience=2, replay=0.0)
    >>> request = DrawRequest(index, step=0, count=2, horizon=9, seed=0)
    >>> paced.batch(request)
    [1, 0]
    >>> index.memory = paced.memory_after(request, [1, 0], [0.5, 1.0])
    >>> index.memory
    {'place': 0, 'recent': [0.75]}
    >>> paced.memory_after(request, [1, 0], [1.0, 1.0])  # (.75 + 1) / 2 >= .8
    {'place': 1, 'recent': []}
    """

    promote: float = 0.8
    demote: float = 0.2
    patience: int = 4
    replay: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_options(self, promote=(0, 1), demote=(0, 1), patience=(1, 1e6), replay=(0, 0.9))
        if self.demote >= self.promote:
            raise RefusedError(
                f"SelfPaced.demote is {self.demote} and SelfPaced.promote {self.promote}; demote must be less"
            )

    def draw(self, request: DrawRequest) -> list[int]:
        """Return rows of the present rung and of those below, shuffled."""
        rungs = [rows for rows in request.index.rungs(self.by) if len(rows)]
        place = self._place(request.index)
        shares = numpy.zeros((1, len(rungs)))
        shares[0, :place] = self.replay / max(place, 1)
        shares[0, place] = 1 - self.replay if place else 1
        offset_T = spread_offsets(stable_seed(request.seed, "paced offset"), request.step, request.step + 1)
        wanted = counts_by_share(shares, request.count, offset_T)[0].tolist()
        nearest = sorted(range(len(rungs)), key=lambda rung: (abs(rung - place), rung))
        counts = fit(wanted, [len(rows) for rows in rungs], nearest)
        chance = random.Random(stable_seed(request.seed, "paced", request.step))
        rows: list[int] = []
        for of_rung, wants in zip(rungs, counts, strict=True):
            among_equals = chance if self.by == "difficulty" else None
            rows += least_visited(
                request.index.visits_R.numpy(), wants, among_equals, of_rung.numpy()
            ).tolist()
        if place:
            chance.shuffle(rows)  # so that ranks get similar shares
        return rows

    def stage(self, request: DrawRequest) -> str:
        """Return the present rung, from 1."""
        return f"rung {self._filled(request.index)[self._place(request.index)] + 1} of {RUNGS}"

    def remember(
        self, request: DrawRequest, rows: Sequence[int], pass_rates: Sequence[float]
    ) -> dict[str, Any]:
        """Return the present rung, as its place among those with rows, and the last mean pass rates on it."""
        memory, filled = request.index.memory, self._filled(request.index)
        place, recent = memory.get("place", 0), memory.get("recent", [])
        rungs = request.index.rung_of(rows, self.by).tolist()
        here = [rate for rung, rate in zip(rungs, pass_rates, strict=True) if rung == filled[place]]
        if not here:
            return memory
        recent = [*recent, fmean(here)][-self.patience :]
        if len(recent) == self.patience:
            mean = fmean(recent)
            moved = place + 1 if mean >= self.promote else place - 1 if mean <= self.demote else place
            if 0 <= moved < len(filled) and moved != place:
                return {"place": moved, "recent": []}
        return {"place": place, "recent": recent}

    def _filled(self, index: LadderIndex) -> list[int]:
        return [rung for rung, rows in enumerate(index.rungs(self.by)) if len(rows)]

    def _place(self, index: LadderIndex) -> int:
        place = index.memory.get("place", 0)
        if type(place) is not int or place < 0:  # from a checkpoint that no run has written
            raise ValueError(f"memory's place is {place!r}")
        return place
