"""Several schedules at once, each with a share of the batch."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy

from observer.curriculum.base import Schedule, Turn
from observer.curriculum.dealing import counts_by_share, spread_offsets
from observer.refusal import refuse_unless
from observer.seeding import stable_seed
from observer.types import RefusedError


@dataclass(frozen=True)
class Part:
    """A schedule and its share of the batch.

    Args:
        schedule: what it draws.
        share: relative to the sum of all shares, above 0.
    """

    schedule: Schedule
    share: float

    def __post_init__(self) -> None:
        fits = 0 < self.share < math.inf
        refuse_unless(fits, self, "share", "it must be finite and > 0, or leave the part out")


@dataclass(frozen=True)
class Mixture(Schedule):
    """Several schedules at once, say .8 of a ladder and .2 at random.

    Each part draws a batch of its own, of which a random choice is taken: as many rows as its share w gives,
    count w / sum(w), rounded so that shares are kept over the steps. A row that a part before it has taken is
    passed over for another of its batch, so no row comes twice. Parts draw more than they give: their passes
    repeat no row, but leave some out. Every part remembers the whole step, rows of other parts included.
    ``by`` and the horizon are the parts' own; a horizon of the mixture is that of parts without one.

    Reference: none; mixing in uniform draws is a common guard against forgetting.

    Args:
        parts: name -> schedule and share. Names tell the parts' memories and stages apart.

    >>> from observer.curriculum import LadderIndex, Random, Sorted
    >>> index = LadderIndex([0.0, 0.25, 0.5, 0.75] * 4, [1.0] * 16, [0] * 16)
    >>> mixed = Mixture({"sorted": Part(Sorted(), 3.0), "random": Part(Random(), 1.0)})
    >>> rows = mixed.batch(Turn(index, step=0, count=4, horizon=4, seed=0))
    >>> len(set(rows)), int((index.difficulty_R[rows] == 0).sum()) >= 3
    (4, True)
    """

    parts: dict[str, Part]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.parts:
            raise RefusedError("Mixture.parts is empty; name at least one schedule and its share")

    def draw(self, turn: Turn) -> list[int]:
        """Return ``count`` rows, of each part its share, shuffled."""
        shares = numpy.array([[part.share for part in self.parts.values()]])
        offset_T = spread_offsets(stable_seed(turn.seed, "mixture offset"), turn.step, turn.step + 1)
        counts = counts_by_share(shares, turn.count, offset_T)[0].tolist()
        chance = random.Random(stable_seed(turn.seed, "mixture", turn.step))
        rows: dict[int, None] = {}
        for (name, part), wants in zip(self.parts.items(), counts, strict=True):
            if not wants:
                continue
            batch = part.schedule.batch(_own(turn, name))
            chance.shuffle(batch)
            rows |= dict.fromkeys([row for row in batch if row not in rows][:wants])
        drawn = list(rows)
        chance.shuffle(drawn)  # so that ranks get like shares
        return drawn

    def remember(self, turn: Turn, rows: Sequence[int], pass_rates: Sequence[float]) -> dict[str, Any]:
        """Return the memory of each part, by its name."""
        return {
            name: part.schedule.memory_after(_own(turn, name), rows, pass_rates)
            for name, part in self.parts.items()
        }

    def stage(self, turn: Turn) -> str | None:
        """Return the stages of the parts that have some."""
        stages = {name: part.schedule.stage_name(_own(turn, name)) for name, part in self.parts.items()}
        return ", ".join(f"{name} {stage}" for name, stage in stages.items() if stage) or None


def _own(turn: Turn, name: str) -> Turn:
    """Return what a part is asked: with its own memory and a seed of its own."""
    index = turn.index.with_memory(turn.index.memory.get(name, {}))
    return replace(turn, index=index, seed=stable_seed(turn.seed, "part", name))
