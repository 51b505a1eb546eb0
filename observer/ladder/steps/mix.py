"""Orders the rows as the paper's data set: slots from easy to hard, each mixed from neighbouring levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from observer.curriculum import NeuraLadder
from observer.curriculum.index import RUNGS
from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep, keep
from observer.ladder.steps.levels import Shares, allocated, levels, refuse_shares, shares_of
from observer.refusal import refuse_outside, refuse_unless
from observer.seeding import stable_seed

if TYPE_CHECKING:
    from observer.ladder.table import Table

ROUNDS = 200
"""Of fitting the table; far more than it takes."""


@dataclass(frozen=True)
class Mix(BuildStep):
    """Slots from easy to hard, each mixed from its own level and its four neighbours.

    There is a slot per level, as long as the level's share. Its rows are drawn from the levels in the shares
    of the mixing table, each row once, and come in ascending complexity. The table is scaled to the shares,
    slots and levels alike (iterative proportional fitting): the ladder's own shares keep every row, and
    others keep as many as the scarcest level allows. A level without rows has no slot.

    Reference: Observe-R1, arXiv 2505.12432; its table and its shares are read off a figure by eye.

    Args:
        size: rows that stay; null for as many as the levels allow.
        shares: lengths of the slots: the ``paper``'s, the ``ladder``'s own levels, or nine numbers.
        table: the ``paper``'s mixing, or an ``even`` one of ``window`` and ``own``.
        window: levels that a slot is mixed from, odd; the paper's table has 5.
        own: share of a slot's own level in the even table.
        seed: of the draws.
    """

    size: int | None = None
    shares: Shares = "paper"
    table: Literal["paper", "even"] = "paper"
    window: int = 5
    own: float = 0.6
    seed: int = 0

    needs: ClassVar[tuple[str, ...]] = ("difficulty", "complexity")
    adds: ClassVar[tuple[str, ...]] = ("slot",)

    def __post_init__(self) -> None:
        refuse_outside("Mix.size", self.size, 1, hint=", or null")
        refuse_shares(self)
        NeuraLadder(table=self.table, window=self.window, own=self.own)  # refuses the rest

    def select(self, table: Table) -> Selection:
        """Deal the rows of each level to the slots."""
        level_N, complexity_N = levels(table.numbers("difficulty")), table.numbers("complexity")
        counts_L_L = self._counts(np.bincount(level_N, minlength=RUNGS))
        slot_N = np.full(len(table), -1)
        for level in range(RUNGS):
            rng = np.random.default_rng(stable_seed(self.seed, "ladder mix", level))
            places = np.flatnonzero(level_N == level)
            dealt = rng.permutation(places[np.argsort(table.rows_N[places])])
            ends = np.cumsum(counts_L_L[:, level])
            for slot, part in enumerate(np.split(dealt[: ends[-1]], ends[:-1])):
                slot_N[part] = slot
        taken = counts_L_L.sum(0)
        kept = keep(
            table,
            slot_N >= 0,
            lambda at: f"no slot has room: the mixture takes {taken[level_N[at]]} rows of its level",
        )
        places = np.flatnonzero(slot_N >= 0)
        order = places[np.lexsort((table.rows_N[places], complexity_N[places], slot_N[places]))]
        return Selection(table.rows_N[order], kept.removed, {"slot": slot_N[order]})

    def _counts(self, supply: np.ndarray) -> np.ndarray:
        """Return the rows of each slot by level, (slots, levels), int64."""
        shares = shares_of(self.shares, supply.tolist())
        allowed = np.where(shares > 0, supply / np.maximum(shares, 1e-300), np.inf)
        most, scarce = int(allowed.min() + 1e-6), int(allowed.argmin())
        size = most if self.size is None else self.size
        mend = f"the shares allow {most} rows, as level {scarce} has {supply[scarce]}"
        refuse_unless(
            1 <= size <= most, self, "size", f"{mend}; lower it, set other shares, or measure more rows"
        )
        mixing = NeuraLadder(table=self.table, window=self.window, own=self.own).mixing(supply.tolist())
        cells = fitted(mixing, shares)
        columns = [
            allocated(cells[:, level], int(count), [int(count)] * RUNGS)
            for level, count in enumerate(allocated(shares, size, supply.tolist()))
        ]
        return np.stack(columns, axis=1)


def fitted(mixing: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Return a mixing table scaled so that its rows and its columns sum to the shares.

    Reference: Deming and Stephan, Annals of Mathematical Statistics 11 (1940).

    >>> fitted(np.array([[0.5, 0.5], [0.25, 0.75]]), np.array([0.25, 0.75])).round(3).tolist()
    [[0.105, 0.145], [0.145, 0.605]]
    """
    cells: np.ndarray = mixing * shares[:, None]
    for _ in range(ROUNDS):
        cells = cells * (shares / np.maximum(cells.sum(0), 1e-300))
        cells = cells * (shares / np.maximum(cells.sum(1), 1e-300))[:, None]
    return cells
