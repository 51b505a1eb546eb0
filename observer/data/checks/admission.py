"""Admission, the last check of rows before any compute: prompts can be rendered, gold answers verified.

The row format has made all checks that need the row alone. These need the policy's processor, or a process of
their own: gold answers of kinds whose check may take any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from observer.data.rows import Rows
from observer.refusal import shown
from observer.rollout import PromptRenderer
from observer.rollout.prompts import Length
from observer.types import NotNowError, Problem, RefusedError, Verdict
from observer.verifier.notation import quote
from observer.verifier.verifier import Question, Verifier
from observer.verifier.verify import ISOLATED


class Fault(NamedTuple):
    """Why no rule can check a gold answer."""

    reason: str
    """What is wrong."""
    lasting: bool
    """Whether it is the answer's own, and not the moment's: too slow, too large, killed."""


Faults = dict[Question, Fault]
"""Gold answer -> why no rule can check it."""


def refused_rows(
    rows: Rows,
    renderer: PromptRenderer,
    verifier: Verifier,
    rank: int = 0,
    world_size: int = 1,
    exchange: Callable[[Faults], Faults] = dict,
) -> list[tuple[int, RefusedError]]:
    """Return the rows that cannot be trained on or measured with, in order, and why.

    Gold answers of most kinds cost nothing here: their format has checked them. One of an isolated kind is
    verified against itself, each distinct one once and on one rank. That takes some 10 ms of a core, or the
    whole time limit: 65,000 distinct expressions take five minutes on two cores.

    Args:
        rows: an opened source. Only its ``checked_rows`` are looked at.
        renderer: the policy's; it knows how long a prompt is.
        verifier: checks gold answers.
        rank: of this process.
        world_size: processes that check the same rows.
        exchange: joins the faults of all ranks. They must agree, even on an answer that timed out on one of
            them.
    """
    bad: dict[int, RefusedError] = {}
    rows_by_gold: dict[Question, list[int]] = {}
    for problem, length in measured_rows(rows, renderer):
        if isinstance(length, RefusedError):
            bad[problem.row] = length
        elif problem.kind in ISOLATED:
            rows_by_gold.setdefault(against_itself(problem), []).append(problem.row)
    if rows_by_gold:
        from lightning.pytorch.utilities import rank_zero_info  # takes seconds, which scores do without

        rank_zero_info(f"verifying {len(rows_by_gold):,} gold answers in processes of their own")
        faults = exchange(faults_of_golds(list(rows_by_gold)[rank::world_size], verifier))
        for gold, fault in faults.items():
            for row in rows_by_gold[gold]:
                bad[row] = unverifiable(rows[row], fault)
    return sorted(bad.items())


def measured_rows(rows: Rows, renderer: PromptRenderer) -> Iterator[tuple[Problem, Length | RefusedError]]:
    """Yield each row that must be checked, with the length of its prompt or why it cannot be rendered."""
    for row in rows.checked_rows():
        problem = rows[row]
        try:
            yield problem, renderer.measure(problem)
        except RefusedError as error:
            yield problem, error


def faults_of_golds(golds: Sequence[Question], verifier: Verifier) -> Faults:
    """Verify gold answers against themselves; return those that are not found right, and why.

    A batch is small enough to end before the verifier's deadline even if every answer takes its whole time
    limit: a slow answer must not get the others refused.
    """
    size = verifier.limits.answers_in_time
    faults: Faults = {}
    for first in range(0, len(golds), size):
        batch = golds[first : first + size]
        for gold, result in zip(batch, verifier.verify_all(batch), strict=True):
            if result.verdict is Verdict.UNVERIFIABLE:
                faults[gold] = Fault(result.reason, lasting=result.finished)
            elif result.verdict is Verdict.WRONG:
                faults[gold] = Fault(f"is not found equal to itself: {result.reason}", lasting=True)
    return faults


def against_itself(problem: Problem) -> Question:
    """Return whether a gold answer is the gold answer, as a question for the verifier."""
    return Question(problem.kind, problem.answer, problem.answer, problem.options)


def unverifiable(problem: Problem, fault: Fault) -> RefusedError:
    """Return the refusal of a row whose gold answer no rule can check."""
    refusal = RefusedError if fault.lasting else NotNowError
    return refusal(
        f"{problem.source}: row {shown(problem.id)}: no rule can check the answer {quote(problem.answer)} "
        f"(kind {problem.kind}): {fault.reason}; correct the answer or its kind, or drop the row"
    )
