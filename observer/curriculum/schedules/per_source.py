"""A share of the batch per source of rows, and a schedule within each source."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy
import torch

from observer.curriculum.base import DrawRequest, Schedule
from observer.curriculum.dealing import counts_by_share, fit, spread_offsets
from observer.curriculum.index import LadderIndex
from observer.curriculum.index_part import LadderPart
from observer.curriculum.schedules.random_order import Random
from observer.refusal import SHOWN, printable, refuse_unless
from observer.seeding import stable_seed
from observer.types import RefusedError


@dataclass(frozen=True)
class PerSource(Schedule):
    """A fixed share of every batch per source, and a schedule within each source.

    Source s gets count w_s / sum(w) rows, rounded so that shares are kept over the steps, however many rows
    it has. Within a source the schedule draws as if there were no other: passes, windows and memory are of
    that source alone. If the rounded share is one row more in some steps than in others, the schedule always
    draws the greater number and a random row is left out where needed. A source with fewer rows than its
    share gives all of them in every step, and the largest others fill up. ``by`` and the horizon are the
    schedule's own.

    Reference: none; temperature and equal mixing of sources are common practice.

    Args:
        schedule: draws within each source.
        shares: name of a source -> its share, relative to their sum; a source that is not named gets none.
            None for equal shares.

    >>> index = LadderIndex([0.5] * 6, [1.0] * 6, [0] * 6, [0, 0, 0, 0, 1, 1], ["charts", "maps"])
    >>> rows = PerSource().batch(DrawRequest(index, step=0, count=4, horizon=4, seed=0))
    >>> sorted(index.source_R[rows].tolist())
    [0, 0, 1, 1]
    """

    schedule: Schedule = field(default_factory=Random)
    shares: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shares is not None:
            fits = bool(self.shares) and all(0 < share < math.inf for share in self.shares.values())
            refuse_unless(fits, self, "shares", "name sources with shares that are finite and > 0, or null")

    def draw(self, request: DrawRequest) -> list[int]:
        """Return each source's share of rows, shuffled."""
        count = request.count
        parts = self._parts(request.index)
        shares = numpy.array([1.0 if self.shares is None else self.shares[name] for name in parts])
        sizes = [len(part) for part in parts.values()]
        if sum(sizes) < count:
            raise RefusedError(
                f"{type(self).__name__}: the sources {', '.join(parts)} have {sum(sizes)} rows, fewer than "
                f"the {count} prompts of a step; name more sources in shares"
            )
        offset_T = spread_offsets(
            stable_seed(request.seed, "per source offset"), request.step, request.step + 1
        )
        wanted = counts_by_share(shares[None], count, offset_T)[0].tolist()
        largest_first = sorted(range(len(sizes)), key=lambda place: -sizes[place])
        counts = fit(wanted, sizes, largest_first)
        due = numpy.ceil(shares / shares.sum() * count - 1e-9).astype(int).tolist()
        chance = random.Random(stable_seed(request.seed, "per source", request.step))
        rows: list[int] = []
        for (name, part), wants, most, size in zip(parts.items(), counts, due, sizes, strict=True):
            asked = replace(_own(request, name, part), count=min(size, max(wants, most)))
            drawn = self.schedule.batch(asked)
            kept = sorted(chance.sample(range(len(drawn)), wants))
            rows += part.rows_N[[drawn[place] for place in kept]].tolist()
        chance.shuffle(rows)  # so that ranks get similar shares
        return rows

    def remember(
        self, request: DrawRequest, rows: Sequence[int], pass_rates: Sequence[float]
    ) -> dict[str, Any]:
        """Return the schedule's memory per source, by the source's name."""
        sources_N = request.index.source_R[torch.tensor(rows, dtype=torch.int64)].tolist()
        remembered = {}
        for name, part in self._parts(request.index).items():
            source = request.index.sources.index(name)
            places = [place for place, of in enumerate(sources_N) if of == source]
            remembered[name] = self.schedule.memory_after(
                _own(request, name, part),
                part.within(torch.tensor([rows[place] for place in places], dtype=torch.int64)).tolist(),
                [pass_rates[place] for place in places],
            )
        return remembered

    def stage(self, request: DrawRequest) -> str | None:
        """Return the stages of the sources; one name where they are the same."""
        stages = {
            name: self.schedule.stage_name(_own(request, name, part))
            for name, part in self._parts(request.index).items()
        }
        if len(set(stages.values())) == 1:
            return next(iter(stages.values()))
        return ", ".join(f"{printable(name, SHOWN)} {stage}" for name, stage in stages.items() if stage)

    def _parts(self, index: LadderIndex) -> dict[str, LadderPart]:
        """Return the rows of each source that has a share and rows, by the source's name."""
        known = {index.sources[source]: rows_N for source, rows_N in index.rows_by_source.items()}
        for name in self.shares or ():
            if name not in known:
                raise RefusedError(
                    f"{type(self).__name__}.shares names {name!r}; the ladder has rows of "
                    f"{', '.join(printable(source, SHOWN) for source in known)}"
                )
        names = known if self.shares is None else self.shares

        def part(name: str) -> LadderPart:
            return index.once(("part of source", name), lambda: LadderPart(index, known[name]))

        return {name: part(name) for name in names}


def _own(request: DrawRequest, name: str, part: LadderPart) -> DrawRequest:
    """Return the request of a source: its rows, with their own memory and seed."""
    index = part.with_memory(request.index.memory_of(name))
    return replace(request, index=index, seed=stable_seed(request.seed, name))
