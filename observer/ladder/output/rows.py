"""Rows of a ladder as lines of the release's ``message`` format, which ``Message`` reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from observer.types import IMAGE_MARK, Problem

LEVELS = 8
"""The last level: difficulties in eighths."""


def message_row(
    problem: Problem, pictures: Sequence[str], measured: Mapping[str, Any], source: str
) -> dict[str, Any]:
    """Return a row of the ``message`` format.

    Args:
        problem: with the gold answer that counts.
        pictures: paths of its pictures, relative to the file.
        measured: ``difficulty``, ``complexity`` and ``slot``, as far as they are known.
        source: the name of its source.
    """
    left = iter(pictures)
    turns = [{"role": turn.role, "content": _content(turn.text, left)} for turn in problem.turns]
    row: dict[str, Any] = {
        "message": json.dumps(turns, ensure_ascii=False),
        "answer": problem.answer,
        "id": problem.id,
        "kind": problem.kind,
    }
    if problem.options:
        row["options"] = list(problem.options)
    if measured.get("difficulty") is not None:
        row["difficulty"] = round(measured["difficulty"], 6)
        row["complexity"] = round(measured["complexity"], 6)
        row["level"] = level_of(measured["difficulty"])
    metadata = {"source": source} | dict(problem.metadata)
    if measured.get("slot") is not None:
        metadata["slot"] = int(measured["slot"])
    return row | {"metadata": metadata}


def level_of(difficulty: float) -> int:
    """Return a difficulty in eighths, 0 .. 8, halves to the even one, as rows without a level have it.

    >>> level_of(0.3), level_of(1.0)
    (2, 8)
    """
    return round(LEVELS * difficulty)


def _content(text: str, pictures: Iterator[str]) -> str | list[dict[str, str]]:
    """Return a turn's text, with its pictures in their places if it has some."""
    first, *rest = text.split(IMAGE_MARK)
    if not rest:
        return text
    items = [{"type": "text", "text": first}] if first else []
    for part in rest:
        items.append({"type": "image", "image": next(pictures)})
        if part:
            items.append({"type": "text", "text": part})
    return items
