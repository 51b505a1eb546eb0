"""Ranks the rows that are never solved for a person to look at, and applies what was decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from observer.data.rows import Rows
from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep
from observer.ladder.steps.measure import most_frequent_other
from observer.pages.decisions import Decision, read_decisions
from observer.refusal import refuse_fields, refuse_unknown, shown
from observer.types import Problem, RefusedError, Verdict
from observer.verifier import Question, Verifier, refuse_unverifiable
from observer.verifier.verify import infer_kind

if TYPE_CHECKING:
    from observer.ladder.table import Table

Unreviewed = Literal["keep", "drop", "drop_agreeing"]
NAMED = 5
"""The most rows that a refusal names."""


@dataclass(frozen=True)
class Review(BuildStep):
    """Rows of difficulty 1 are hard, or their gold answer is wrong: a person decides on the likely ones.

    ``review.jsonl`` lists them, those first whose responses agree most on another answer, and with them other
    rows of which more than half of the responses do. A later build applies what was decided on these and on
    rows that other steps have listed: ``keep``, ``drop``, or ``correct`` the gold answer, after which the
    responses that are there are judged again.

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

    def decided(self, rows: Rows) -> Mapping[int, Decision]:
        """Return what was decided on rows of the input."""
        if self.decisions is None:
            return {}
        decided, left = {}, read_decisions(self.decisions)
        for row in range(len(rows)) if left else ():
            problem = rows[row]
            if (choice := left.pop(problem.id, None)) is not None:
                _refuse_gold(problem, choice, self.decisions)
                decided[row] = choice
        if left:
            named = ", ".join(shown(name) for name in list(left)[:NAMED])
            raise RefusedError(
                f"Review.decisions is {self.decisions!r}: {len(left)} of its rows are not in the input "
                f"({named}); name the decisions on these rows"
            )
        return decided

    def select(self, table: Table) -> Selection:
        """Apply the decisions; rank what is left to decide."""
        answers = {row: choice.gold for row, choice in table.decided.items() if choice.gold is not None}
        corrected = _judged_again(table, answers) if answers else {}
        difficulty_N = table.numbers("difficulty")
        agree_N = table.numbers("other_count") / table.numbers("responses")
        waits_N = ~table.among("keep", "drop", "correct")
        good_N = ~table.among("drop")
        if self.unreviewed != "keep":
            suspect_N = agree_N > 0.5 if self.unreviewed == "drop_agreeing" else np.ones(len(table), bool)
            good_N &= ~(waits_N & (difficulty_N == 1) & suspect_N)
        gone = np.flatnonzero(~good_N)

        def reason(row: int) -> str:
            if row in table.decided:
                return "was dropped in the review"
            return f"has difficulty 1 and was not reviewed (unreviewed: {self.unreviewed})"

        listed = np.flatnonzero(waits_N & ((difficulty_N == 1) | (agree_N > 0.5)))
        ranked = listed[np.lexsort((table.rows_N[listed], -agree_N[listed]))][: self.most]
        return Selection(
            table.rows_N[good_N],
            ((row, reason(row)) for row in table.rows_N[gone].tolist()),
            corrected=corrected,
            review=[(int(table.rows_N[at]), _why(difficulty_N[at], agree_N[at])) for at in ranked.tolist()],
        )


def _refuse_gold(problem: Problem, choice: Decision, file: str) -> None:
    if choice.gold is not None:
        try:
            kind = problem.kind or infer_kind(choice.gold, problem.options)
            refuse_unverifiable(choice.gold, kind, problem.options)
        except RefusedError as error:
            raise RefusedError(f"Review.decisions is {file!r}: row {shown(problem.id)}: {error}") from error


def _why(difficulty: float, agree: float) -> str:
    never = "no response is right" if difficulty == 1 else "few responses are right"
    return f"{never}, and {agree:.0%} agree on another answer" if agree > 0 else never


def _judged_again(table: Table, answers: dict[int, str]) -> dict[int, dict[str, Any]]:
    """Return the measured values that depend on the gold answer, of rows that were corrected and measured."""
    found = {}
    verifier = Verifier()
    try:
        for row in sorted(answers):
            samples = table.value("samples", row)
            if samples:
                found[row] = _judged(table.problem(row), samples, verifier)
    finally:
        verifier.close()
    return found


def _judged(problem: Problem, samples: list[dict[str, Any]], verifier: Verifier) -> dict[str, Any]:
    from observer.statistics import wilson  # its room needs scipy, which takes a moment

    asked = [
        Question(problem.kind, problem.answer, sample["extracted"], problem.options) for sample in samples
    ]
    verdicts = [result.verdict for result in verifier.verify_all(asked)]
    right = [verdict is Verdict.CORRECT for verdict in verdicts]
    lengths = [sample["tokens"] for sample, good in zip(samples, right, strict=True) if good]
    low, high = wilson(np.array([sum(right)]), np.array([len(right)]))[:, 0].tolist()
    given = [sample["extracted"] for sample in samples]
    other, times = most_frequent_other(zip(given, verdicts, strict=True))
    return {
        "difficulty": 1 - sum(right) / len(right),
        "correct": sum(right),
        "undecided": sum(verdict is Verdict.UNVERIFIABLE for verdict in verdicts),
        "correct_length": float(np.mean(lengths)) if lengths else None,
        "other_answer": other,
        "other_count": times,
        "difficulty_low": 1 - high,
        "difficulty_high": 1 - low,
        "samples": [{**one, "verdict": str(its)} for one, its in zip(samples, verdicts, strict=True)],
    }
