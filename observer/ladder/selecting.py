"""Lets the steps of a recipe select from all rows, and says of each row that goes why."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from observer.ladder.measuring import Measuring
from observer.ladder.table import Table
from observer.refusal import shown
from observer.types import RefusedError

TO_REVIEW = "to_review.jsonl"
"""A file of the work: rows that a person should look at."""
READING = "Rows"
"""The name of the first stage: reading the input."""


@dataclass(frozen=True)
class Stage:
    """What a step has left of the rows."""

    step: str
    before: int
    after: int


class ToReview:
    """Rows that a person should look at, and why: lines of a file, since they may be most of the input.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._count = 0
        path.unlink(missing_ok=True)

    def add(self, step: str, found: Iterable[tuple[int, str]]) -> None:
        """Add rows of a step, each with its reason."""
        with self._path.open("a", encoding="utf-8") as file:
            for row, why in found:
                file.write(json.dumps([row, step, why]) + "\n")
                self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[tuple[int, str, str]]:
        if self._count:
            with self._path.open(encoding="utf-8") as file:
                yield from (tuple(json.loads(line)) for line in file)


class Selecting:
    """The rows of a ladder in their order, step by step; a line for each row that goes.

    Args:
        measuring: whose chunks the steps select from.
        file: that is open, of a JSON line for each row that goes; None to write none.
    """

    def __init__(self, measuring: Measuring, file: IO[str] | None = None) -> None:
        rows, count = measuring.rows, measuring.count
        self.table = Table(rows, np.arange(count), decided=measuring.decided)
        self.review = ToReview(measuring.folder / TO_REVIEW)
        self.usable_R = np.ones(count, bool)
        """Which rows of the input can be trained on at all: those of the control are among them."""
        skipped = list(rows.skipped) if measuring.recipe.limit is None else []
        self.stages = [Stage(READING, count + len(skipped), count)]
        self._measuring, self._file = measuring, file
        for bad in skipped:
            self._write(bad.id, None, READING, bad.reason)

    def go_on(self) -> None:
        """Let the next step select; what it selects from is measured.

        Raises:
            RefusedError: it leaves no row.
        """
        place = len(self.stages) - 1
        step, table = self._measuring.recipe.steps[place], self.table
        name, before = type(step).__name__, len(table)
        selection = self._measuring.select(step, table)
        first = None
        for row, reason in selection.removed:
            first = first or (row, reason)
            if step.unfit:
                self.usable_R[row] = False
            self._write(table.source[row].id, row, name, reason)
        self.review.add(name, (item for item in selection.review if item[0] not in table.decided))
        table.apply(selection)
        self.stages.append(Stage(name, before, len(table)))
        if not len(table):
            told = f"; row {shown(table.source[first[0]].id)}: {first[1]}" if first else ""
            raise RefusedError(
                f"steps: {name} (step {place + 1}) has left none of {before} rows{told}; change its "
                f"options or leave it out"
            )

    def finish(self) -> None:
        """Let all steps select that have not yet."""
        while len(self.stages) <= len(self._measuring.recipe.steps):
            self.go_on()

    def _write(self, name: str, row: int | None, step: str, reason: str) -> None:
        if self._file is not None:
            record = {"id": name, "row": row, "step": step, "reason": reason}
            self._file.write(json.dumps(record, ensure_ascii=False) + "\n")


def removed(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file of rows that went."""
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
