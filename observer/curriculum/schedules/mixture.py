"""Several schedules at once, each with a share of the batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy

from observer.curriculum.base import DrawRequest, Schedule
from observer.curriculum.dealing import counts_by_share, spread_offsets
from observer.refusal import refuse_outside
from observer.seeding import stable_seed
from observer.types import RefusedError


@dataclass(frozen=True)
class Part:
    """A schedule and its share of the batch.

    Args:
        schedule: the schedule.
        share: relative to the sum of all shares, above 0.
    """

    schedule: Schedule
    share: float

    def __post_init__(self) -> None:
        refuse_outside("Part.share", self.share, above=0, hint=", or leave the part out")


@dataclass(frozen=True)
class Mixture(Schedule):
    """Several schedules at once, each with a share of the batch, such as .8 sorted and .2 at random.

    Each part draws a whole batch, of which a random choice is used: count w / sum(w) rows for a share w,
    rounded so that shares are kept over the steps. Rows that an earlier part has given are skipped, so no row
    comes twice. Since a part draws more than it gives, its passes repeat no row but leave some out. Every
    part remembers the whole step, rows of other parts included. ``by`` and the horizon are the parts' own;
    the horizon of the mixture is used by parts without one.

    Reference: none; mixing in uniform draws is a common guard against forgetting.

    Args:
        parts: name -> schedule and share. Names tell the parts' memories and stages apart.

    >>> from observer.curriculum import LadderIndex, Random, Sorted
    >>> index = LadderIndex([0.0, 0.25, 0.5, 0.75] * 4, [1.0] * 16, [0] * 16)
    >>> mixed = Mixture({"sorted": Part(Sorted(), 3.0), "random": Part(Random(), 1.0)})
    >>> rows = mixed.batch(DrawRequest(index, step=0, count=4, horizon=4, seed=0))
    >>> len(set(rows)), int((index.difficulty_R[rows] == 0).sum()) >= 3
    (4, True)
    """

    parts: dict[str, Part]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.parts:
            raise RefusedError("Mixture.parts is empty; name at least one schedule and its share")

    def draw(self, request: DrawRequest) -> list[int]:
        """Return each part's share of rows, shuffled."""
        shares = numpy.array([[part.share for part in self.parts.values()]])
        offset_T = spread_offsets(stable_seed(request.seed, "mixture offset"), request.step, request.step + 1)
        counts = counts_by_share(shares, request.count, offset_T)[0].tolist()
        chance = random.Random(stable_seed(request.seed, "mixture", request.step))
        rows: dict[int, None] = {}
        for (name, part), wants in zip(self.parts.items(), counts, strict=True):
            if not wants:
                continue
            batch = part.schedule.batch(_own(request, name))
            chance.shuffle(batch)
            rows |= dict.fromkeys([row for row in batch if row not in rows][:wants])
        drawn = list(rows)
        chance.shuffle(drawn)  # so that ranks get similar shares
        return drawn

    def remember(
        self, request: DrawRequest, rows: Sequence[int], pass_rates: Sequence[float]
    ) -> dict[str, Any]:
        """Return the memory of each part, by its name."""
        return {
            name: part.schedule.memory_after(_own(request, name), rows, pass_rates)
            for name, part in self.parts.items()
        }

    def stage(self, request: DrawRequest) -> str | None:
        """Return the stages of the parts that have some."""
        stages = {name: part.schedule.stage_name(_own(request, name)) for name, part in self.parts.items()}
        return ", ".join(f"{name} {stage}" for name, stage in stages.items() if stage) or None


def _own(request: DrawRequest, name: str) -> DrawRequest:
    """Return the request of a part: with its own memory and seed."""
    index = request.index.with_memory(request.index.memory_of(name))
    return replace(request, index=index, seed=stable_seed(request.seed, "part", name))
