"""A scored completion as a record of builtins: the line of every file of completions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from observer.types import Completion, Problem, Score, ScoredGroups, Turn

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


def asked_record(problem: Problem, chat: Sequence[Turn]) -> dict[str, Any]:
    """Return what the first record of a group says besides: what was asked, and how answers are checked.

    Args:
        problem: of the group.
        chat: that the model was given.
    """
    asked: dict[str, Any] = {"prompt": [{"role": turn.role, "text": turn.text} for turn in chat]}
    asked["kind"] = problem.kind
    if problem.options:
        asked["options"] = list(problem.options)
    if problem.metadata:  # of any objects, where rows are made in Python
        asked["metadata"] = json.loads(json.dumps(dict(problem.metadata), default=str, skipkeys=True))
    return asked


def completion_records(
    scored: ScoredGroups, chat: Callable[[Problem], Sequence[Turn]]
) -> Iterator[dict[str, Any]]:
    """Yield the record of each completion, in order.

    Args:
        scored: groups of completions.
        chat: gives what the model was given for a problem.
    """
    for group, scores in zip(scored.groups, scored.scores, strict=True):
        asked = asked_record(group.problem, chat(group.problem))
        for completion, score in zip(group.completions, scores, strict=True):
            yield completion_record(group.problem, completion, score) | asked
            asked = {}


def _rounded(components: Mapping[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, DIGITS) for name, value in components.items()}
