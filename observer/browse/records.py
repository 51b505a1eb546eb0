"""Reads the completions that a run or ``observer predict`` has kept, group by group.

What is damaged is named by its line. One group is in memory at a time. Files of earlier versions lack the
chat and the pictures of a group; predictions have no step.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from observer.refusal import shown
from observer.types import Verdict

FILE = "completions.jsonl"
Number = int | float | None
REQUIRED: dict[str, Any] = {"id": str, "index": int, "text": str, "verdict": str}
OPTIONAL: dict[str, Any] = {
    **dict.fromkeys(("step", "level", "tokens"), int),
    **dict.fromkeys(("question", "answer", "finish_reason", "reason"), str),
    **dict.fromkeys(("reward", "bonus", "weight", "pass_rate", "advantage"), Number),
    **{"extracted": str | None, "components": dict, "prompt": list, "pictures": list},
}
PICTURE = re.compile(r"pictures/[0-9a-f]{1,64}\.(png|jpeg)")
"""Names of pictures; any other would lead out of the run."""


@dataclass
class KeptGroup:
    """Completions of one prompt, as far as they were kept."""

    completions: list[dict[str, Any]]
    """Records in the order of the file, at least one."""

    @property
    def first(self) -> dict[str, Any]:
        """The record that says what was asked."""
        return self.completions[0]

    @property
    def step(self) -> int:
        """Rollouts finished before it; 0 where the file does not say."""
        return int(self.first.get("step", 0))

    @property
    def pictures(self) -> list[dict[str, Any] | None] | None:
        """What was said of its pictures; None where they were not kept."""
        return next((one["pictures"] for one in self.completions if "pictures" in one), None)

    @property
    def prompt(self) -> list[dict[str, str]] | None:
        """Its chat; None where it was not kept."""
        return next((one["prompt"] for one in self.completions if "prompt" in one), None)


class KeptCompletions:
    """The groups of an open file, up to where it ended when it was opened."""

    def __init__(self, file: IO[bytes], name: str = FILE) -> None:
        """Note where the file ends: a run may still be writing.

        Args:
            file: opened for reading; the same content is read however often, also if the run replaces it.
            name: of the file.
        """
        self._file, self._name = file, name
        self._end = file.seek(0, 2)
        self.faults: list[str] = []
        """Damaged lines and why, once the groups were read."""
        self.unfinished = False
        """Whether the last line is not whole, once the groups were read."""

    def groups(self) -> Iterator[KeptGroup]:
        """Yield the groups in the order of the file, from its start."""
        self.faults, self.unfinished = [], False
        group: KeptGroup | None = None
        for record in self._records():
            last = group.completions[-1] if group else None
            same = last is not None and (record.get("step"), record["id"]) == (
                last.get("step"),
                last["id"],
            )
            if group and last and same and record["index"] > last["index"]:
                group.completions.append(record)
                continue
            if group:
                yield group
            group = KeptGroup([record])
        if group:
            yield group

    def _records(self) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(self._lines(), 1):
            if not line.endswith(b"\n"):
                self.unfinished = True
                return
            record = parsed(line)
            fault = "it is no JSON object" if record is None else fault_of(record)
            if record is None or fault:
                self.faults.append(f"line {number} of {self._name} is damaged: {fault}")
            else:
                yield record

    def _lines(self) -> Iterator[bytes]:
        self._file.seek(0)
        place = 0
        while place < self._end and (line := self._file.readline(self._end - place)):
            place += len(line)
            yield line


def parsed(line: bytes) -> dict[str, Any] | None:
    """Return the record of a line; None where it holds none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def fault_of(record: dict[str, Any]) -> str:
    """Return why a record is none of a completion; "" where it is one.

    >>> fault_of({"step": 0, "id": "a", "index": 0, "text": 7, "verdict": "correct"})
    '`text` is 7'
    """
    for name, kind in (REQUIRED | OPTIONAL).items():
        if name not in record:
            if name in REQUIRED:
                return f"it has no `{name}`"
        elif not isinstance(record[name], kind) or isinstance(record[name], bool):
            return f"`{name}` is {shown(record[name])}"
    if record["verdict"] not in list(Verdict):
        return f"`verdict` is {shown(record['verdict'])}"
    if bad := _other_than(record.get("components", {}).values(), Number):
        return f"`components` holds {shown(bad[0])}"
    for turn in record.get("prompt", []):
        if not isinstance(turn, dict) or _other_than((turn.get("role"), turn.get("text")), str):
            return f"`prompt` holds {shown(turn)}"
    for picture in record.get("pictures", []):
        if picture is not None and not _is_picture(picture):
            return f"`pictures` holds {shown(picture)}"
    return ""


def _other_than(values: Iterable[Any], kind: Any) -> list[Any]:
    return [value for value in values if not isinstance(value, kind)]


def _is_picture(picture: Any) -> bool:
    if not isinstance(picture, dict):
        return False
    if isinstance(picture.get("fault"), str):
        return True
    size = picture.get("size")
    whole = isinstance(size, list) and len(size) == 2 and not _other_than(size, int)
    file = picture.get("file")
    return whole and isinstance(file, str) and PICTURE.fullmatch(file) is not None
