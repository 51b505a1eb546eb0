"""What is wrong with rows: each finding is written as it is found, and the first of each check are kept."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Literal

from observer.data.rows import Skipped
from observer.data.subset import left_out
from observer.refusal import shown
from observer.run.files import temporary_name, writing
from observer.types import Problem, RefusedError

Check = Literal[
    "source", "row", "picture", "prompt", "gold", "other gold", "duplicate", "reworded", "leak", "size"
]
Fate = Literal["refused", "interrupts", "left out", "noted"]
SHOWN = 10
"""Findings of each check that are printed."""


@dataclass(frozen=True)
class Finding:
    """What is wrong with a row, or with a whole split."""

    split: str
    """Such as ``train``."""
    file: str
    """Of the row; what the split is read from where it is no row's."""
    line: int
    """From 1; 0 where it is no row's."""
    id: str
    check: Check
    """What was looked at."""
    fate: Fate
    """What a fit does: it is refused, or interrupted when it draws the row, or goes on without the row, or
    trains on it all the same."""
    what: str
    """The value and the mend."""

    def __str__(self) -> str:
        row = f"{self.file}:{self.line}: row {shown(self.id)}: " if self.line or self.id else ""
        return f"data.{self.split}: {row}{self.what}"


@contextmanager
def listing(path: Path) -> Iterator[Findings]:
    """Write a list of findings; until it is whole an earlier one stays.

    Args:
        path: of the list.

    Raises:
        WriteError: it cannot be written.
    """
    beside = temporary_name(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("w", encoding="utf-8") as file:
                yield Findings(file)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)


class Findings:
    """Writes findings to a file, one JSON object per line, and counts them.

    Args:
        file: open for text.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self.counts: Counter[tuple[str, Check, Fate]] = Counter()
        """By split, check and fate."""
        self.first: dict[tuple[Check, Fate], list[Finding]] = {}
        """The first of each kind."""

    def add(self, finding: Finding) -> None:
        """Write a finding."""
        self._file.write(json.dumps(asdict(finding), ensure_ascii=True) + "\n")
        self.counts[finding.split, finding.check, finding.fate] += 1
        kept = self.first.setdefault((finding.check, finding.fate), [])
        if len(kept) < SHOWN:
            kept.append(finding)

    def row(self, split: str, row: Skipped, check: Check, fate: Fate) -> None:
        """Write what is wrong with a row."""
        self.add(Finding(split, row.file, row.line, row.id, check, fate, row.reason))

    def problem(
        self, split: str, problem: Problem, why: RefusedError | str, check: Check, fate: Fate
    ) -> None:
        """Write what is wrong with a row that was read."""
        error = why if isinstance(why, RefusedError) else RefusedError(why)
        self.row(split, left_out(problem, error), check, fate)

    def of(self, fate: Fate, split: str | None = None) -> int:
        """Return how many findings have a fate, of one split or of all."""
        return sum(
            count
            for (name, _, known), count in self.counts.items()
            if known == fate and split in (None, name)
        )
