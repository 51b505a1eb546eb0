"""MMBench's rule: a question is right that is right in all orders of its options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from observer.data.rows import Rows
from observer.evaluation.scoring.base import Answered, Scoring, share
from observer.ladder.guessing.turned_options import turned
from observer.types import Problem

TURN = 1_000_000
"""What MMBench adds to the index of a question for each order of its options."""


@dataclass(frozen=True)
class Circular(Scoring):
    """MMBench's CircularEval: each question is asked once per option, the options moved up by one each time.

    ``circular`` is the share of questions that are right in all orders, ``vanilla`` in the first one. Files
    that hold all orders already, each with 1,000,000 more in its index, are asked as they are. A question
    that was not asked in as many orders as it has options counts in ``left_out`` alone. Choices are read by
    our rules where the official score asks a model about answers that have no letter.

    Reference:
        Liu et al., "MMBench: Is Your Multi-modal Model an All-around Player?", arXiv 2307.06281, section 4.
    """

    judged = True

    def asked(self, rows: Rows) -> Rows:
        """Return each row in all orders of its options; rows that are there in several stay as they are."""
        names = [_question(row.id) for row in rows]
        return rows if len(set(names)) < len(names) else TurnedRows(rows)

    def figures(self, answered: Sequence[Answered]) -> dict[str, Any]:
        """Return the shares of questions that are right in all orders, and in the first."""
        questions: dict[str, list[Answered]] = {}
        for one in answered:
            questions.setdefault(_question(one.id), []).append(one)
        whole = [orders for orders in questions.values() if len(orders) == max(len(orders[0].options), 1)]
        figures: dict[str, Any] = {"questions": len(whole), "left_out": len(questions) - len(whole)}
        if whole:
            cluster_P = np.array([orders[0].cluster for orders in whole], object)
            all_P = np.array([all(one.correct for one in orders) for orders in whole])
            first_P = np.array([min(orders, key=_order).correct for orders in whole])
            figures |= {"circular": share(all_P, cluster_P), "vanilla": share(first_P, cluster_P)}
        return figures


class TurnedRows(Rows):
    """Rows, each in all orders of its options; one whose options cannot be turned is there once.

    Args:
        rows: in one order each.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        places = []
        for row, problem in enumerate(rows):
            orders = range(len(problem.options)) if turned(problem, 0) else range(1)
            places += [(row, shift) for shift in orders]
        self._places_R_2 = np.array(places, np.int64).reshape(-1, 2)
        row_R = self._places_R_2[:, 0]
        self.difficulty, self.complexity = rows.difficulty[row_R], rows.complexity[row_R]
        self.level = rows.level[row_R]
        self.source = None if rows.source is None else rows.source[row_R]
        self.sources, self.skipped = rows.sources, rows.skipped

    def __len__(self) -> int:
        return len(self._places_R_2)

    def __getitem__(self, row: int) -> Problem:
        place, shift = map(int, self._places_R_2[row])
        problem = self._rows[place]
        other = turned(problem, shift) if shift else problem
        assert other is not None  # it was turned when the rows were opened
        return replace(other, row=row)

    def checked_rows(self) -> range:
        """Return all rows."""
        return range(len(self))


def _question(row: str) -> str:
    """Return what a question is called in all orders of its options.

    >>> _question("3000241"), _question("241"), _question("q#options+2")
    ('241', '241', 'q')
    """
    plain = row.partition("#options+")[0]
    return str(int(plain) % TURN) if plain.isdecimal() else plain


def _order(one: Answered) -> tuple[int, int]:
    """Return which order of the options a row has asked."""
    plain, _, shift = one.id.partition("#options+")
    return int(plain) // TURN if plain.isdecimal() else 0, int(shift or 0)
