"""Removes rows whose gold answer no rule can check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep, Values, doubted, keep
from observer.types import Problem, RefusedError
from observer.verifier.notation import quote
from observer.verifier.verify import infer_kind, refuse_unverifiable

if TYPE_CHECKING:
    from observer.ladder.asking import Asker
    from observer.ladder.table import Table


@dataclass(frozen=True)
class Verifiable(BuildStep):
    """Rows whose gold answer a rule can check: it must be found equal to itself.

    The others are listed for review; a corrected gold answer (``Review.decisions``) brings a row back. Those
    of most kinds are checked when their row is read: as the first step of a build, and with ``on_bad_row:
    skip``, this one is given these rows too. Formulas, which may take any time, are verified here.

    Reference: Observe-R1, arXiv 2505.12432, "verifiable answers only".
    """

    measures: ClassVar[Mapping[str, pa.DataType]] = {"checked": pa.int32(), "unverifiable": pa.string()}
    by_row: ClassVar[bool] = True
    unfit: ClassVar[bool] = True
    judges_golds: ClassVar[bool] = True

    def measure(self, problems: Sequence[Problem], asker: Asker) -> Values:
        """Verify the gold answers."""
        reasons = [
            own or other
            for own, other in zip(map(gold_refused, problems), asker.gold_faults(problems), strict=True)
        ]
        return {"checked": [int(not reason) for reason in reasons], "unverifiable": reasons}

    def select(self, table: Table) -> Selection:
        """Keep the rows whose gold answer was found equal to itself."""

        def reason(place: int) -> str:
            row = int(table.rows_N[place])
            told = f"no rule can check the answer {quote(table.problem(row).answer)}"
            why = str(table.value("unverifiable", row))
            return told if why.startswith(told) else f"{told}: {why}"

        good_N = (table.numbers("checked") == np.float64(1)) | table.among("correct")
        review = doubted(table, good_N, reason, "correct the gold answer to bring the row back")
        return keep(table, good_N, reason, review)


def gold_refused(problem: Problem) -> str:
    """Return why no rule can check a gold answer, of what can be told at once; "" where one may."""
    try:
        if problem.kind:
            refuse_unverifiable(problem.answer, problem.kind, problem.options)
        else:  # it was read as of no kind
            infer_kind(problem.answer, problem.options)
    except RefusedError as error:
        return str(error).rpartition("; ")[0]  # without how a file is mended
    return ""
