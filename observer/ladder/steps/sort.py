"""Orders the rows from easy to hard and, where they are equally hard, from short to long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep

if TYPE_CHECKING:
    from observer.ladder.table import Table


@dataclass(frozen=True)
class Sort(BuildStep):
    """Rows by difficulty, then by complexity, then as in the input.

    Reference: Observe-R1, arXiv 2505.12432.
    """

    needs: ClassVar[tuple[str, ...]] = ("difficulty", "complexity")

    def select(self, table: Table) -> Selection:
        """Keep all rows, in the new order."""
        order_N = np.lexsort((table.rows_N, table.numbers("complexity"), table.numbers("difficulty")))
        return Selection(table.rows_N[order_N])
