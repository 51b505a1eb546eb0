"""What is left of an evaluation, at most: responses, tokens and, from a few rows that are timed, hours."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.table import Table

from observer.evaluation.asking import Examination, tokens_of
from observer.evaluation.audit.auditing import AUDIT
from observer.evaluation.audit.probing import CONDITIONS
from observer.evaluation.recipe import Evaluation
from observer.ladder.asker import opened
from observer.ladder.plan import Cost, cost_table
from observer.ladder.progress import spoken

if TYPE_CHECKING:
    from observer.answering import Answerer


@dataclass(frozen=True)
class ExamCost(Cost):
    """What is left to do of a benchmark; tokens and seconds are without the audit."""

    audited: int = 0
    """Responses of the audit at most, part of ``responses``."""


def plan(evaluation: Evaluation, work: Path, timed: int) -> list[ExamCost]:
    """Return what is left to do of each benchmark; nothing is written.

    Args:
        evaluation: what is evaluated.
        work: the folder of its chunks, which may be there.
        timed: rows of each benchmark that are answered to measure; 0 loads no model.

    Raises:
        RefusedError: the rows are refused, or the folder holds answers that were drawn otherwise.
    """
    exams = {
        name: Examination(evaluation, name, benchmark.asked(), work / name)
        for name, benchmark in evaluation.benchmarks.items()
    }
    costs = {name: _left(evaluation, name, exam, work) for name, exam in exams.items()}
    if timed and any(cost.rows for cost in costs.values()):
        answerer = opened(evaluation.model, evaluation.response_format, evaluation.max_tokens)
        try:
            for name, exam in exams.items():
                if costs[name].rows:
                    costs[name] = _timed(costs[name], exam, answerer, timed)
        finally:
            answerer.close()
    return list(costs.values())


def _left(evaluation: Evaluation, name: str, exam: Examination, work: Path) -> ExamCost:
    if exam.chunks.begun:
        exam.chunks.refuse_other(exam.made)
    rows = sum(len(exam.chunks.range(chunk)) for chunk in exam.missing)
    audited = 0
    if evaluation.audit:
        finished = len(list((work / f"{name} {AUDIT}").glob("*.arrow"))) * exam.chunk_rows
        audited = max(0, min(evaluation.audit.rows, exam.count) - finished) * len(CONDITIONS)
    responses = rows * (1 + evaluation.responses) + audited
    count = len(exam.chunks)
    finished = count - len(exam.missing)
    most = responses * evaluation.max_tokens
    return ExamCost(name, count, finished, rows, responses, most, audited=audited)


def _timed(cost: ExamCost, exam: Examination, answerer: Answerer, timed: int) -> ExamCost:
    """Return the cost with the tokens and the seconds of some of the rows that are left, spread over them."""
    left = [row for chunk in exam.missing for row in exam.chunks.range(chunk)]
    places = np.unique(np.linspace(0, len(left) - 1, min(timed, len(left))).astype(int)).tolist()
    problems = [exam.rows[left[place]] for place in places]
    exam.answered(problems[:1], answerer)  # what is slow once
    began = time.perf_counter()
    tokens = tokens_of(exam.answered(problems, answerer))
    seconds = time.perf_counter() - began
    share = cost.rows / len(problems)
    return replace(cost, tokens=tokens * share, seconds=seconds * share)


def table(costs: list[ExamCost]) -> Table:
    """Return the costs as a table for the terminal; what was not timed is unknown."""
    shown = cost_table(costs, "benchmark", "plan: what is left to ask", unknown="unknown")
    shown.caption = _caption(costs)
    return shown


def _caption(costs: list[ExamCost]) -> str:
    """Return what the table holds, and what of it is a guess."""
    said = [f"{sum(cost.responses for cost in costs):,} responses"]
    said += [f"{sum(cost.most_tokens for cost in costs):,} tokens at most"]
    seconds = [cost.seconds for cost in costs if cost.seconds is not None]
    said += [f"{spoken(sum(seconds))} in all on this machine" if seconds else "--timed_rows tells hours"]
    if audited := sum(cost.audited for cost in costs):
        timed = ", which are not timed" if seconds else ""
        said += [f"of these {audited:,} responses of the audit at most{timed}"]
    return "; ".join(said)
