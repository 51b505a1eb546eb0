"""Looks up columns and ways into them: ``reward_model.ground_truth``, ``prompt.0.content``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

MISSING = object()
"""What a path leads to that is not there."""


def at(record: Any, path: str) -> Any:
    """Return what a path leads to, or ``MISSING``.

    A column whose name holds dots is found by its whole name first.

    >>> at({"prompt": [{"content": "How many?"}], "a.b": 1}, "prompt.0.content")
    'How many?'
    >>> at({"a.b": 1}, "a.b"), at({}, "a") is MISSING
    (1, True)
    """
    if isinstance(record, Mapping):
        if path in record:
            return record[path]
        head, dot, rest = path.partition(".")
        return at(record[head], rest) if dot and head in record else MISSING
    if isinstance(record, list):
        head, dot, rest = path.partition(".")
        if not head.lstrip("-").isdecimal() or not -len(record) <= int(head) < len(record):
            return MISSING
        return at(record[int(head)], rest) if dot else record[int(head)]
    return MISSING


def first(record: Any, paths: Iterable[str]) -> Any:
    """Return what the first path leads to that holds something, or ``MISSING``."""
    for path in paths:
        if (found := at(record, path)) is not MISSING and not empty(found):
            return found
    return MISSING


def empty(value: object) -> bool:
    """Return whether a value stands for none: null, nan, a text or a list without content."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str | list | dict | bytes) and not value)


def column(path: str, columns: Iterable[str]) -> str:
    """Return the column that a path goes into: the longest one that it begins with; itself if there is none.

    >>> column("a.b.c", ["a", "a.b"]), column("x.y", ["a"])
    ('a.b', 'x')
    """
    begun = [name for name in columns if path == name or path.startswith(f"{name}.")]
    return max(begun, key=len) if begun else path.partition(".")[0]
