"""The curriculum of Observe-R1: slots from easy to hard, each mixed from its own rung and its neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy

from observer.curriculum.base import DrawRequest, Schedule, check_options
from observer.curriculum.dealing import counts_by_share, deal_passes, permutation, shuffled, spread_offsets
from observer.curriculum.index import RUNGS
from observer.refusal import refuse_unknown, refuse_unless
from observer.seeding import stable_seed
from observer.types import RefusedError

Table = Literal["paper", "even"]
Slots = Literal["paper", "ladder"]

PAPER_SHARES = (0.015, 0.035, 0.05, 0.075, 0.135, 0.15, 0.15, 0.20, 0.19)
"""Share of the paper's rows by rung, read off its figure by eye."""
PAPER_TABLE = (
    (0.29, 0.175, 0.19, 0.19, 0.165, 0, 0, 0, 0),
    (0.05, 0.495, 0.15, 0.155, 0.15, 0, 0, 0, 0),
    (0.025, 0.075, 0.51, 0.165, 0.225, 0, 0, 0, 0),
    (0, 0.03, 0.065, 0.505, 0.21, 0.19, 0, 0, 0),
    (0, 0, 0.025, 0.07, 0.585, 0.185, 0.135, 0, 0),
    (0, 0, 0, 0.03, 0.10, 0.575, 0.145, 0.145, 0),
    (0, 0, 0, 0, 0.05, 0.115, 0.54, 0.175, 0.12),
    (0, 0, 0, 0, 0.02, 0.055, 0.10, 0.685, 0.14),
    (0, 0, 0, 0, 0.015, 0.045, 0.07, 0.15, 0.72),
)
"""Slot x rung -> share, read off the paper's figure by eye: its rows sum to .995 to 1.01."""


@dataclass(frozen=True)
class NeuraLadder(Schedule):
    """Slots from easy to hard, each mixed from its own rung and the neighbouring ones (Observe-R1).

    A ladder has nine rungs: difficulties rounded to eighths or, if ``by`` is complexity, nine parts as equal
    as ties allow. There is one slot per rung, in ascending order; its part of the horizon is the share of its
    rung. With M the mixing table, rows normalised, and o_k(t) the part of step t that lies in slot k, rung r
    gets

        count x sum_k o_k(t) M_kr

    rows of step t, rounded up or down so that shares are kept over the steps. Within a rung, rows are dealt
    from seeded passes, so that none comes twice in a pass; a pass may leave out its last few rows. The rows
    of a slot come in ascending complexity, unless ``by`` is difficulty. A rung without rows has no slot and
    no share; those of the others grow. Beyond the horizon it stays on its last slot, with fresh draws.

    The even table gives a slot's own rung the share ``own`` and the rest, equally, to the others within a
    window of ``window`` rungs around it, clipped at both ends.

    Reference: Observe-R1, arXiv 2505.12432, whose name for it is NeuraLadder. Window, table and shares are
    read by eye off its data figure. Slots follow each other as in its release, whose curriculum is the order
    of its file.

    Args:
        table: the ``paper``'s, or an ``even`` one of ``window`` and ``own``.
        slots: the lengths of the slots: the ``paper``'s shares of rungs, or this ``ladder``'s.
        window: rungs that a slot is mixed from, odd; the paper's table has 5.
        own: share of a slot's own rung in the even table, above 0, at most 1.

    >>> from observer.curriculum import LadderIndex
    >>> index = LadderIndex([0.0] * 4 + [0.125] * 4 + [1.0] * 4, range(12), [0] * 12)
    >>> halves = NeuraLadder(table="even", slots="ladder", window=3, own=0.5)
    >>> requests = [DrawRequest(index, step, count=4, horizon=3, seed=0) for step in range(3)]
    >>> [halves.stage_name(request) for request in requests]
    ['slot 1 of 9', 'slot 2 of 9', 'slot 9 of 9']
    >>> [sorted(index.rung_of(halves.batch(request), "both").tolist()) for request in requests]
    [[0, 0, 1, 1], [0, 1, 1, 1], [8, 8, 8, 8]]

    The second slot would be mixed from rungs 0, 1 and 2 as 1 : 2 : 1. Rung 2 has no rows, so rungs 0 and 1
    share 4 rows as 4/3 : 8/3. The last slot has no neighbour with rows.
    """

    table: Table = "paper"
    slots: Slots = "paper"
    window: int = 5
    own: float = 0.6

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_unknown(self, "table", Table)
        refuse_unknown(self, "slots", Slots)
        odd = self.window >= 1 and self.window % 2 == 1
        refuse_unless(odd, self, "window", "it must be an odd number >= 1")
        fits = self.table == "even" or self.window == 5
        refuse_unless(fits, self, "window", "the paper's table has 5, set table to even")
        check_options(self, own=(1e-9, 1))

    def draw(self, request: DrawRequest) -> list[int]:
        """Return rows in the shares of the step's slots, shuffled."""
        step, seed = request.step, request.seed
        rungs = request.index.rungs(self.by)
        sizes = [len(rows) for rows in rungs]
        shares_T_L, slot_T = self._plan(sizes, request.horizon, max(request.horizon, step + 1))
        self._check_sizes(sizes, request.count)
        offsets_T = spread_offsets(stable_seed(seed, "ladder offset"), 0, len(slot_T))
        counts_T_L = counts_by_share(shares_T_L, request.count, offsets_T)
        rows: list[int] = []
        for rung in numpy.flatnonzero(counts_T_L[step]).tolist():
            counts_T = counts_T_L[:, rung]
            number_T, begin_T = deal_passes(counts_T, sizes[rung])
            order = permutation(stable_seed(seed, "ladder", rung, int(number_T[step])), sizes[rung]).numpy()
            together = numpy.flatnonzero((number_T == number_T[step]) & (slot_T == slot_T[step]))
            first, last = together[0], together[-1]
            places = order[begin_T[first] : begin_T[last] + counts_T[last]]
            begin = begin_T[step] - begin_T[first]
            end = begin + counts_T[step]
            if self.by != "difficulty":  # a rung's rows are in ascending complexity
                places = numpy.partition(places, (begin, end - 1))
            rows += rungs[rung].numpy()[places[begin:end]].tolist()
        return shuffled(rows, stable_seed(seed, "ladder shuffle", step))  # so that ranks get similar shares

    def stage(self, request: DrawRequest) -> str:
        """Return the slot that the middle of the step is in, from 1."""
        sizes = [len(rows) for rows in request.index.rungs(self.by)]
        _, slot_T = self._plan(sizes, request.horizon, request.horizon)
        return f"slot {int(slot_T[min(request.step, request.horizon - 1)]) + 1} of {RUNGS}"

    def mixing(self, sizes: list[int]) -> numpy.ndarray:
        """Return slot x rung -> share, rows normalised, for a ladder whose rungs have these sizes, (9, 9).

        >>> NeuraLadder(table="even", window=3, own=0.5).mixing([1] * 9)[:2, :3].tolist()
        [[0.5, 0.5, 0.0], [0.25, 0.5, 0.25]]
        """
        if self.table == "paper":
            table: numpy.ndarray = numpy.array(PAPER_TABLE)
        else:
            distance = numpy.abs(numpy.subtract.outer(numpy.arange(RUNGS), numpy.arange(RUNGS)))
            near = (distance <= self.window // 2) & (distance > 0)
            others = near.sum(axis=1, keepdims=True)
            table = numpy.where(near, (1 - self.own) / numpy.maximum(others, 1), 0.0)
            numpy.fill_diagonal(table, self.own)
        table = table * (numpy.array(sizes) > 0)
        table /= numpy.maximum(table.sum(axis=1, keepdims=True), 1e-300)
        return table

    def _plan(self, sizes: list[int], horizon: int, steps: int) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Return the shares of the rungs, (T, 9), and the slot of every step, new ones beyond the horizon.

        There is no matrix product, since its sums may differ from machine to machine.
        """
        table = self.mixing(sizes)
        lengths = numpy.array(PAPER_SHARES if self.slots == "paper" else sizes, dtype=numpy.float64)
        lengths *= numpy.array(sizes) > 0
        ends = numpy.cumsum(lengths) / lengths.sum() * horizon
        last = int(numpy.flatnonzero(lengths)[-1])
        ends[last:] = numpy.inf
        time_T = numpy.arange(steps, dtype=numpy.float64)
        shares_T_L = numpy.zeros((steps, RUNGS))
        begin = 0.0
        for slot, end in enumerate(ends[: last + 1]):
            part_T = numpy.clip(numpy.minimum(time_T + 1, end) - numpy.maximum(time_T, begin), 0, 1)
            shares_T_L += part_T[:, None] * table[slot]
            begin = end
        slot_T = numpy.searchsorted(ends[:last], time_T + 0.5, side="right")
        slot_T[horizon:] = RUNGS + numpy.arange(max(steps - horizon, 0))
        return shares_T_L, slot_T

    def _check_sizes(self, sizes: list[int], count: int) -> None:
        for rung, share in enumerate(self.mixing(sizes).max(axis=0)):
            if (most := math.ceil(count * round(share, 9))) > sizes[rung]:
                raise RefusedError(
                    f"NeuraLadder draws up to {most} of {count} rows from rung {rung} (of 0 .. 8), which has "
                    f"{sizes[rung]}; lower the prompts of a step or add rows"
                )
