"""Removes rows that are always solved, and with short responses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep, keep
from observer.refusal import refuse_fields

if TYPE_CHECKING:
    from observer.ladder.table import Table


@dataclass(frozen=True)
class LowComplexity(BuildStep):
    """Rows of difficulty 0 stay only if their complexity is high.

    Reference: Observe-R1, arXiv 2505.12432, which names no threshold.

    Args:
        quantile: of the complexities of all rows of difficulty 0; rows below it go.
    """

    quantile: float = 0.5

    needs: ClassVar[tuple[str, ...]] = ("difficulty", "complexity")

    def __post_init__(self) -> None:
        refuse_fields(self, "quantile", least=0, most=1)

    def select(self, table: Table) -> Selection:
        """Keep the rows that are not easy, and of those the long ones."""
        easy_N, complexity_N = table.numbers("difficulty") == 0, table.numbers("complexity")
        least = float(np.quantile(complexity_N[easy_N], self.quantile)) if easy_N.any() else 0.0

        def reason(place: int) -> str:
            return f"has difficulty 0 and complexity {complexity_N[place]:.1f}, below {least:.1f} tokens"

        return keep(table, ~easy_N | (complexity_N >= least), reason)
