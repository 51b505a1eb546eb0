"""A scored completion as a record of builtins: the line of every file of completions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from observer.types import Completion, Problem, Score, ScoredGroups

DIGITS = 6
"""Digits that floats are rounded to."""


def completion_record(problem: Problem, completion: Completion, score: Score) -> dict[str, Any]:
    """Return a completion with its problem and its score, by names; floats are rounded to 6 digits."""
    return {
        "id": problem.id,
        "level": problem.level,
        "question": problem.question,
        "answer": problem.answer,
        "index": completion.index,
        "text": completion.text,
        "tokens": len(completion.ids),
        "finish_reason": completion.finish_reason,
        "verdict": str(score.verdict),
        "reason": score.reason,
        "extracted": score.extracted,
        "formatted": score.formatted,
        "components": _rounded(score.components),
        "reward": round(score.reward, DIGITS),
        "bonus": round(score.bonus, DIGITS),
    }


def completion_records(scored: ScoredGroups) -> Iterator[dict[str, Any]]:
    """Yield the record of each completion, in order."""
    for group, scores in zip(scored.groups, scored.scores, strict=True):
        for completion, score in zip(group.completions, scores, strict=True):
            yield completion_record(group.problem, completion, score)


def _rounded(components: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, DIGITS) for name, value in components.items()}
