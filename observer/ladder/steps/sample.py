"""Takes so many rows, with given shares of the levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from observer.curriculum.index import RUNGS
from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep, keep
from observer.ladder.steps.levels import Shares, allocated, levels, refuse_shares, shares_of
from observer.refusal import refuse_fields, refuse_unless
from observer.seeding import stable_seed

if TYPE_CHECKING:
    from observer.ladder.table import Table


@dataclass(frozen=True)
class Sample(BuildStep):
    """So many rows, drawn at random within each level, in the order they had.

    Where a level has too few rows the others make up for it, in proportion to their shares.

    Args:
        size: rows that stay.
        shares: of the nine levels: the ``paper``'s, the ``ladder``'s own, or nine numbers.
        seed: of the draw.
    """

    size: int
    shares: Shares = "ladder"
    seed: int = 0

    needs: ClassVar[tuple[str, ...]] = ("difficulty",)

    def __post_init__(self) -> None:
        refuse_fields(self, "size", least=1)
        refuse_shares(self)

    def select(self, table: Table) -> Selection:
        """Draw the rows of each level."""
        level_N = levels(table.numbers("difficulty"))
        supply = np.bincount(level_N, minlength=RUNGS)
        shares = shares_of(self.shares, supply.tolist())
        there = int(supply[shares > 0].sum())
        refuse_unless(
            self.size <= there, self, "size", f"{there} rows are left of levels with a share; lower it"
        )
        counts = allocated(shares, self.size, supply.tolist())
        good_N = np.zeros(len(table), bool)
        for level, count in enumerate(counts.tolist()):
            rng = np.random.default_rng(stable_seed(self.seed, "ladder sample", level))
            places = np.flatnonzero(level_N == level)
            places = places[np.argsort(table.rows_N[places])]  # whatever order they are in
            good_N[rng.permutation(places)[:count]] = True
        return keep(
            table, good_N, lambda place: f"was not drawn: {counts[level_N[place]]} rows of its level are"
        )
