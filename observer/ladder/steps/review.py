"""Ranks the rows that are never solved for a person to look at, and applies what was decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep
from observer.pages.decisions import Decision, read_decisions
from observer.refusal import refuse_fields, refuse_unknown, shown
from observer.types import Problem, RefusedError, Verdict
from observer.verifier import Question, Verifier, refuse_unverifiable

if TYPE_CHECKING:
    from observer.ladder.table import Table

Unreviewed = Literal["keep", "drop", "drop_agreeing"]
NAMED = 5
"""The most rows that a refusal names."""


@dataclass(frozen=True)
class Review(BuildStep):
    """Rows of difficulty 1 are hard, or their gold answer is wrong: a person decides on the likely ones.

    ``review.jsonl`` lists them, those first whose responses agree most on another answer, and with them other
    rows of which more than half of the responses do. A later build applies what was decided: ``keep``,
    ``drop``, or ``correct`` the gold answer, after which the responses that are there are judged again.

    Reference: Observe-R1, arXiv 2505.12432, where difficulty 1 is reviewed by hand.

    Args:
        most: rows of the list.
        decisions: the file that the review page exports; null for none yet.
        unreviewed: what becomes of rows of difficulty 1 on which nothing was decided: ``keep`` all, ``drop``
            all, or ``drop_agreeing``, those of which more than half of the responses agree on another answer.
    """

    most: int = 200
    decisions: str | None = None
    unreviewed: Unreviewed = "keep"

    needs: ClassVar[tuple[str, ...]] = (
        *("difficulty", "correct", "responses", "other_count", "samples"),
        *("difficulty_low", "difficulty_high", "correct_length"),
    )
    files: ClassVar[tuple[str, ...]] = ("decisions",)

    def __post_init__(self) -> None:
        refuse_fields(self, "most", least=0)
        refuse_unknown(self, "unreviewed", Unreviewed)

    def select(self, table: Table) -> Selection:
        """Apply the decisions; rank what is left to decide."""
        decided = self._decided(table)
        answers = {row: choice.gold or "" for row, choice in decided.items() if choice.choice == "correct"}
        columns = _judged_again(table, answers) if answers else {}
        difficulty_N = columns.get("difficulty", table.numbers("difficulty"))
        agree_N = table.numbers("other_count") / table.numbers("responses")
        waits_N = ~np.isin(table.rows_N, np.fromiter(decided, np.int64, len(decided)))
        good_N = np.ones(len(table), bool)
        if self.unreviewed != "keep":
            suspect_N = agree_N > 0.5 if self.unreviewed == "drop_agreeing" else np.ones(len(table), bool)
            good_N &= ~(waits_N & (difficulty_N == 1) & suspect_N)
        dropped = [row for row, choice in decided.items() if choice.choice == "drop"]
        good_N &= ~np.isin(table.rows_N, dropped)
        gone = np.flatnonzero(~good_N)

        def reason(row: int) -> str:
            if row in decided:
                return "was dropped in the review"
            return f"has difficulty 1 and was not reviewed (unreviewed: {self.unreviewed})"

        listed = np.flatnonzero(waits_N & ((difficulty_N == 1) | (agree_N > 0.5)))
        ranked = listed[np.lexsort((table.rows_N[listed], -agree_N[listed]))][: self.most]
        return Selection(
            table.rows_N[good_N],
            ((row, reason(row)) for row in table.rows_N[gone].tolist()),
            {name: values[good_N] for name, values in columns.items()},
            answers,
            [(int(table.rows_N[at]), _why(difficulty_N[at], agree_N[at])) for at in ranked.tolist()],
        )

    def _decided(self, table: Table) -> dict[int, Decision]:
        """Return what was decided on the rows that are in."""
        if self.decisions is None:
            return {}
        found = read_decisions(self.decisions)
        decided, left = {}, dict(found)
        for row in range(len(table.source)) if found else ():
            problem = table.problem(row)
            if (choice := left.pop(problem.id, None)) is not None:
                _refuse_gold(problem, choice, self.decisions)
                decided[row] = choice
        if left:
            named = ", ".join(shown(name) for name in list(left)[:NAMED])
            raise RefusedError(
                f"Review.decisions is {self.decisions!r}: {len(left)} of its rows are not in the input "
                f"({named}); name the decisions on these rows"
            )
        there = np.isin(np.fromiter(decided, np.int64, len(decided)), table.rows_N)
        return {row: decided[row] for row, still in zip(list(decided), there.tolist(), strict=True) if still}


def _refuse_gold(problem: Problem, choice: Decision, file: str) -> None:
    if choice.gold is not None:
        try:
            refuse_unverifiable(choice.gold, problem.kind, problem.options)
        except RefusedError as error:
            raise RefusedError(f"Review.decisions is {file!r}: row {shown(problem.id)}: {error}") from error


def _why(difficulty: float, agree: float) -> str:
    never = "no response is right" if difficulty == 1 else "few responses are right"
    return f"{never}, and {agree:.0%} agree on another answer" if agree > 0 else never


def _judged_again(table: Table, answers: dict[int, str]) -> dict[str, np.ndarray]:
    """Return the columns that depend on the gold answer, for all rows, with other gold answers for some."""
    from observer.statistics import wilson  # its room needs scipy, which takes a moment

    names = ("difficulty", "correct", "difficulty_low", "difficulty_high", "correct_length")
    columns = {name: table.numbers(name).copy() for name in names}
    verifier = Verifier()
    try:
        for place in np.flatnonzero(np.isin(table.rows_N, list(answers))).tolist():
            row = int(table.rows_N[place])
            problem, samples = table.problem(row), table.value("samples", row)
            asked = [
                Question(problem.kind, answers[row], sample["extracted"], problem.options)
                for sample in samples
            ]
            right = [result.verdict is Verdict.CORRECT for result in verifier.verify_all(asked)]
            lengths = [sample["tokens"] for sample, good in zip(samples, right, strict=True) if good]
            low, high = wilson(np.array([sum(right)]), np.array([len(right)]))[:, 0]
            values = (1 - sum(right) / len(right), sum(right), 1 - high, 1 - low)
            for name, value in zip(
                names, (*values, float(np.mean(lengths)) if lengths else np.nan), strict=True
            ):
                columns[name][place] = value
    finally:
        verifier.close()
    return columns
