"""Removes rows that are in a benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from observer.data.fingerprints import pictures_digest
from observer.data.rows import RowFormat
from observer.ladder.asking import Asker
from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep, Values, keep
from observer.refusal import refuse_unless, shown
from observer.types import Problem

if TYPE_CHECKING:
    from observer.ladder.table import Table


@dataclass(frozen=True)
class Decontaminate(BuildStep):
    """Rows that a benchmark does not hold: those go that show and ask the same, whatever their answer.

    Pictures are compared by their pixels, questions without case and blanks that tell nothing apart.

    Args:
        against: the benchmarks, by any row format.
    """

    against: tuple[RowFormat, ...]

    measures: ClassVar[Mapping[str, pa.DataType]] = {"asked": pa.int64()}

    def __post_init__(self) -> None:
        refuse_unless(bool(self.against), self, "against", "name the benchmarks, each by a row format")

    def measure(self, problems: Sequence[Problem], asker: Asker) -> Values:
        """Make a digest of what each row shows and asks."""
        return {"asked": [asked(problem) for problem in problems]}

    def select(self, table: Table) -> Selection:
        """Keep the rows that are in no benchmark."""
        known = _known(self.against)
        asked_N = table.integers("asked")

        def reason(place: int) -> str:
            return f"shows and asks the same as row {known[int(asked_N[place])]}"

        return keep(table, ~np.isin(asked_N, np.fromiter(known, np.int64, len(known))), reason)


@lru_cache(maxsize=2)
def _known(formats: tuple[RowFormat, ...]) -> dict[int, str]:
    """Return digest -> row and file of all rows of some benchmarks."""
    return {asked(p): f"{shown(p.id)} of {p.source}" for form in formats for p in form.read()}


def asked(problem: Problem) -> int:
    """Return a digest of a problem's pictures and question, a signed number of eight bytes.

    Raises:
        LostInputError: a picture that was checked is gone or another one.
    """
    parts = [pictures_digest(problem), " ".join(problem.question.split()).casefold()]
    return int.from_bytes(blake2b("\0".join(parts).encode(), digest_size=8).digest(), "little", signed=True)
