"""Removes rows that are there already: the same pictures, the same question, the same answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from observer.data.fingerprints import pictures_digest
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

    Pictures are compared by their pixels, questions without case and blanks that tell nothing apart. One
    picture with two questions is no duplicate, and neither is one question with two answers.
    """

    measures: ClassVar[Mapping[str, pa.DataType]] = {"content": pa.int64()}

    def measure(self, problems: Sequence[Problem], asker: Asker) -> Values:
        """Make a digest of what each row shows, asks and holds right."""
        return {"content": [content(problem) for problem in problems]}

    def select(self, table: Table) -> Selection:
        """Keep the first row of each content."""
        _, first_N, which_N = np.unique(table.integers("content"), return_index=True, return_inverse=True)
        good_N = np.zeros(len(table), bool)
        good_N[first_N] = True

        def reason(place: int) -> str:
            other = int(table.rows_N[first_N[which_N[place]]])
            return f"shows, asks and answers the same as row {shown(table.problem(other).id)}"

        return keep(table, good_N, reason)


def content(problem: Problem) -> int:
    """Return a digest of a problem's pictures, question and answer, a signed number of eight bytes.

    Raises:
        LostInputError: a picture that was checked is gone or another one.
    """
    parts = [pictures_digest(problem), " ".join(problem.question.split()).casefold(), problem.answer.strip()]
    digest = blake2b("\0".join(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little", signed=True)
