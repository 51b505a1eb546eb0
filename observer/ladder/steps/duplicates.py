"""Removes rows that are there already, also as resized or recompressed copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from observer.data.duplicates.signature import SIGNATURE, refuse_without_packages, sign
from observer.ladder.asking import Asker
from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep, Values, keep
from observer.refusal import shown
from observer.types import Problem

if TYPE_CHECKING:
    from observer.ladder.table import Table


@dataclass(frozen=True)
class Duplicates(BuildStep):
    """One row of each picture, question and answer stays: the first.

    Pictures that are copies of each other, resized or recompressed, are one; questions are compared without
    case, blanks and LaTeX's spacing. One picture with two questions is no duplicate. Two rows that show and
    ask the same and have two gold answers stay, and are listed for review.

    It needs the extra ``ladder``.
    """

    measures: ClassVar[Mapping[str, pa.DataType]] = {"signature": pa.binary(SIGNATURE.itemsize)}

    def __post_init__(self) -> None:
        refuse_without_packages()

    def measure(self, problems: Sequence[Problem], asker: Asker) -> Values:
        """Make the signature by which copies are nominated."""
        return {"signature": [sign(problem).tobytes() for problem in problems]}

    def select(self, table: Table) -> Selection:
        """Keep the first row of each content."""
        from observer.data.duplicates import find_copies  # needs scipy, which takes a moment

        with table.records("signature", SIGNATURE) as signatures:
            found = find_copies(table, signatures)
        first_N, rows_N = found.first_R, table.rows_N

        def name(place: int) -> str:
            return shown(table.problem(int(rows_N[place])).id)

        def reason(place: int) -> str:
            return f"shows, asks and answers the same as row {name(first_N[place])}"

        def review() -> Iterator[tuple[int, str]]:
            others = (one for one in found.doubtful if one.relation == "other gold")
            for row, each in groupby(others, lambda one: one.row):
                same = iter(each)
                first, count = next(same), sum(1 for _ in same)
                more = f", and as {count} more" if count else ""
                why = f"shows and asks the same as row {name(first.like)}{more}, and answers another"
                yield int(rows_N[row]), why
            if len(found.crowded):
                other, row = found.crowded[0].tolist()
                count = len(found.crowded)
                why = f"was not compared with row {name(other)}: {count} rows look like too many others"
                yield int(rows_N[row]), why

        return keep(table, first_N == np.arange(len(table)), reason, review())
