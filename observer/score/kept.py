"""Completions that a run or ``observer predict`` has kept, one per line, as rows with completions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from observer.refusal import shown
from observer.types import IMAGE_MARK, RefusedError

OF_PROBLEM = ("id", "question", "answer", "level", "kind", "options", "metadata")
"""Fields of a record that a row has too."""
ENDS = ("stop", "length")


class Entry(NamedTuple):
    """What was read of a file: a row, or what is wrong with it."""

    line: int
    """Its first line in the file, from 1."""
    record: object
    """What it holds; a ``RefusedError`` where it is not even JSON."""
    ends: tuple[str, ...] | None = None
    """How each completion ended, ``stop`` or ``length``; None for a line that is a row itself."""


def gathered(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield rows: kept completions of a group as one, other lines as they are.

    A group is lines that follow each other, of one step and row and with a growing ``index``. Its row is that
    of its first line, without the marks of pictures, which no score opens.

    Args:
        entries: a line each.
    """
    group: list[Entry] = []
    for entry in entries:
        if group and not _goes_on(group[-1].record, entry.record):
            yield _joined(group)
            group = []
        if _kept(entry.record):
            group.append(entry)
        else:
            yield entry
    if group:
        yield _joined(group)


def _kept(record: object) -> bool:
    """Return whether a line is one completion with its problem, as ``completion_record`` makes it."""
    return isinstance(record, dict) and {"text", "index"} <= record.keys() and "completions" not in record


def _goes_on(last: Any, record: Any) -> bool:
    if not _kept(record) or any(last.get(name) != record.get(name) for name in ("step", "id")):
        return False
    return all(isinstance(one["index"], int) for one in (last, record)) and last["index"] < record["index"]


def _joined(group: list[Entry]) -> Entry:
    records: list[Mapping[str, Any]] = [entry.record for entry in group]  # type: ignore[misc]
    line, first = group[0].line, records[0]
    for entry, record in zip(group, records, strict=True):
        if missing := [name for name in ("tokens", "finish_reason") if name not in record]:
            why = f"has no {missing[0]}; take the file as the run or observer predict wrote it"
            return Entry(entry.line, RefusedError(why))
        if record["finish_reason"] not in ENDS:
            why = f"finish_reason is {shown(record['finish_reason'])}; it is one of {', '.join(ENDS)}"
            return Entry(entry.line, RefusedError(why))
    row = {name: first[name] for name in OF_PROBLEM if name in first}
    if isinstance(row.get("question"), str):
        row["question"] = row["question"].replace(IMAGE_MARK, "")
    row |= {"completions": [one["text"] for one in records], "lengths": [one["tokens"] for one in records]}
    return Entry(line, row, tuple(one["finish_reason"] for one in records))
