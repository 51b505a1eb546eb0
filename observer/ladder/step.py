"""The family of build steps: what is measured of each row, and which rows stay, in which order.

A step has two halves, of which it may leave out one. ``measure`` sees a few problems at a time and returns
columns; it is called chunk by chunk, resumed where it was cut off, and shared by the parts of a job array.
``select`` sees the columns of all rows that are still in, is cheap and deterministic, and says of each row
that it removes why.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from observer.data.rows import Rows
from observer.ladder.selection import Selection
from observer.pages.decisions import Decision
from observer.types import Problem

if TYPE_CHECKING:
    from observer.ladder.asking import Asker
    from observer.ladder.table import Table

Values = dict[str, list[Any]]
"""Column -> its value for each problem that was measured."""
LISTED = 200
"""The most rows that a step lists for review of those that it removes: what a person can read."""


@dataclass(frozen=True)
class BuildStep(ABC):
    """A step of building a ladder. A member is a frozen dataclass that measures, selects, or both."""

    measures: ClassVar[Mapping[str, pa.DataType]] = {}
    """The columns that ``measure`` returns; none for a step that only selects."""
    adds: ClassVar[tuple[str, ...]] = ()
    """The columns that ``select`` adds."""
    needs: ClassVar[tuple[str, ...]] = ()
    """The columns of earlier steps that ``select`` reads."""
    asks: ClassVar[bool] = False
    """Whether ``measure`` asks a model."""
    by_row: ClassVar[bool] = False
    """Whether ``select`` decides on each row by its own columns alone. Then what it removes is not measured
    by the steps that follow, also where they cannot see all rows."""
    unfit: ClassVar[bool] = False
    """Whether what it removes cannot be trained on at all, and so is not in the control either."""
    judges_golds: ClassVar[bool] = False
    """Whether it removes rows whose gold answer no rule can check: as the first step it is given them all."""
    files: ClassVar[tuple[str, ...]] = ()
    """The options that name files: their content decides what the step does, and not where they lie."""

    def decided(self, rows: Rows) -> Mapping[int, Decision]:
        """Return what people have decided on rows of the input; most steps know of nothing.

        Raises:
            RefusedError: they have decided on rows that are not there.
        """
        return {}

    def measure(self, problems: Sequence[Problem], asker: Asker) -> Values:
        """Measure a few problems: a function of each problem alone, whatever the others are.

        Args:
            problems: of one chunk.
            asker: asks models; of no use to a step that does not ask.

        Returns:
            The columns of ``measures``.
        """
        raise NotImplementedError(f"{type(self).__name__} names columns in measures and has no measure")

    @abstractmethod
    def select(self, table: Table) -> Selection:
        """Decide which rows stay, in which order.

        Raises:
            RefusedError: the step cannot work on these rows.
        """


def keep(
    table: Table,
    good_N: np.ndarray,
    reason: Callable[[int], str],
    review: Iterable[tuple[int, str]] = (),
) -> Selection:
    """Return the selection that keeps some rows in their order.

    Args:
        table: of the rows that are still in.
        good_N: which of them stay.
        reason: says of a place in the table why its row goes.
        review: rows that a person should look at, and why.
    """
    gone = np.flatnonzero(~good_N)
    removed = ((int(table.rows_N[place]), reason(int(place))) for place in gone)
    return Selection(table.rows_N[good_N], removed, review=review)


def doubted(
    table: Table, good_N: np.ndarray, reason: Callable[[int], str], mend: str
) -> list[tuple[int, str]]:
    """Return the rows that a step removes as a list for review, cut to ``LISTED``; without decided ones.

    Args:
        table: of the rows that are still in.
        good_N: which of them stay.
        reason: says of a place in the table why its row goes.
        mend: what brings a row back.
    """
    gone = np.flatnonzero(~good_N & ~table.among("keep", "drop", "correct"))
    more = f" ({len(gone) - LISTED:,} more of them are in removed.jsonl alone)" if len(gone) > LISTED else ""
    shown = gone[:LISTED].tolist()
    return [(int(table.rows_N[place]), f"{reason(place)}; {mend}{more}") for place in shown]
