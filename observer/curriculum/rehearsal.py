"""The draws of a schedule before the run is made, where they follow from its steps and its own draws alone.

Nothing is trained and nothing is observed: a schedule that goes by pass rates, or by what it remembers, is
refused when it asks for them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NoReturn

import torch

from observer.curriculum.base import DrawRequest, Schedule
from observer.curriculum.index import By, LadderIndex
from observer.curriculum.index_state import UnknownMemory
from observer.refusal import SHOWN, printable
from observer.strategies import described
from observer.types import RefusedError

KEPT = 16
"""Rehearsals that an index keeps: of the run's own draws, and of those of each round of dynamic sampling."""


class UnobservedIndex(LadderIndex):
    """The rows of an index without what a run has shown: visits are those of the rehearsal.

    Args:
        whole: the index of the run, whose columns and orders it shares.
        refusal: what whoever asks for pass rates or memory is told; ``{what}`` is which of them.
    """

    def __init__(self, whole: LadderIndex, refusal: str) -> None:
        self._whole, self._refusal = whole, refusal
        self.difficulty_R, self.complexity_R = whole.difficulty_R, whole.complexity_R
        self.level_R, self.source_R, self.sources = whole.level_R, whole.source_R, whole.sources
        self._cache = {}  # of its own, since parts look up visits in the index that they were cut from
        self._forget()

    def _forget(self) -> None:
        self.visits_R = torch.zeros(len(self), dtype=torch.int32)
        self.last_step_R = torch.full((len(self),), -1, dtype=torch.int32)
        unknown: Any = UnknownMemory(self._refusal.format(what="what it remembers of the run"))
        self._memory = unknown

    def order(self, by: By) -> torch.Tensor:
        """Return all rows from easy to hard; see ``LadderIndex``."""
        return self._whole.order(by)

    @property
    def pass_rate_sums_R(self) -> torch.Tensor:  # type: ignore[override]
        """Refused: there are no pass rates yet."""
        self._refuse()

    @property
    def last_pass_rate_R(self) -> torch.Tensor:  # type: ignore[override]
        """Refused: there are no pass rates yet."""
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise RefusedError(self._refusal.format(what="the pass rates of the run"))


class Rehearsal:
    """The draws of a schedule from the first step on, made once.

    Args:
        schedule: whose draws.
        request: any of them: of all of them index, count, horizon and seed are the same.
        refusal: see ``UnobservedIndex``.
    """

    def __init__(self, schedule: Schedule, request: DrawRequest, refusal: str) -> None:
        self.schedule = schedule
        self.index = UnobservedIndex(request.index, refusal)
        self.request = replace(request, index=self.index)
        self._batches: list[torch.Tensor] = []
        self._made: dict[Any, torch.Tensor] = {}

    def batches(self, begin: int, end: int) -> torch.Tensor:
        """Return the rows of the steps from ``begin`` to ``end``, (T, N), int32."""
        for step in range(len(self._batches), end):
            rows = self.schedule.batch(replace(self.request, step=step))
            rows_N = torch.tensor(rows, dtype=torch.int32)
            self.index.visits_R[rows_N.long()] += 1
            self.index.last_step_R[rows_N.long()] = step
            self._batches.append(rows_N)
        return torch.stack(self._batches[begin:end])

    def once(self, key: Any, make: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return what is kept under a key, made the first time."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def rehearsed(schedule: Schedule, request: DrawRequest, refused_as: str) -> Rehearsal:
    """Return the rehearsal of a schedule for an index, a number of rows, a horizon and a seed: kept, or new.

    Args:
        schedule: whose draws.
        request: one of them; its step does not matter.
        refused_as: the option that names the schedule, for the message.
    """
    known: list[Rehearsal] = request.index.once("rehearsals", list)
    wanted = (request.count, request.horizon, request.seed)
    for place, one in enumerate(known):
        asked = one.request
        if one.schedule is schedule and (asked.count, asked.horizon, asked.seed) == wanted:
            known.append(known.pop(place))  # the one that was used last is let go last
            return one
    name = printable(described(schedule), SHOWN).replace("{", "{{").replace("}", "}}")
    refusal = (
        f"{refused_as} is {name}, which goes by {{what}}: its rows are not known before it has run; name a "
        "schedule that goes by the step alone, such as NeuraLadder, Sorted or Stages, or compare with Random"
    )
    known.append(Rehearsal(schedule, request, refusal))
    del known[:-KEPT]
    return known[-1]
