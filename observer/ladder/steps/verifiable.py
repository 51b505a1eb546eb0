"""Removes rows whose gold answer no rule can check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep, Values, keep
from observer.types import Problem
from observer.verifier.notation import quote

if TYPE_CHECKING:
    from observer.ladder.asking import Asker
    from observer.ladder.table import Table


@dataclass(frozen=True)
class Verifiable(BuildStep):
    """Rows whose gold answer a rule can check: it must be found equal to itself.

    Answers of most kinds are checked when their row is read; a row format with ``on_bad_row: skip`` leaves
    out those that fail, and the build names them with the others. Formulas, which may take any time, are
    verified here.

    Reference: Observe-R1, arXiv 2505.12432, "verifiable answers only".
    """

    measures: ClassVar[Mapping[str, pa.DataType]] = {"checked": pa.int32(), "unverifiable": pa.string()}
    by_row: ClassVar[bool] = True
    unfit: ClassVar[bool] = True

    def measure(self, problems: Sequence[Problem], asker: Asker) -> Values:
        """Verify the gold answers that were not verified when they were read."""
        reasons = asker.gold_faults(problems)
        return {"checked": [int(not reason) for reason in reasons], "unverifiable": reasons}

    def select(self, table: Table) -> Selection:
        """Keep the rows whose gold answer was found equal to itself."""

        def reason(place: int) -> str:
            row = int(table.rows_N[place])
            answer = quote(table.problem(row).answer)
            return f"no rule can check the answer {answer}: {table.value('unverifiable', row)}"

        return keep(table, table.numbers("checked") == np.float64(1), reason)
