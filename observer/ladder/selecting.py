"""Lets the steps of a recipe select from all rows, and says of each row that goes why."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from observer.ladder.measuring import Measuring
from observer.ladder.table import Table
from observer.policy.allocation import return_freed_memory
from observer.refusal import shown
from observer.run.files import whole_file
from observer.types import RefusedError

TO_REVIEW, GONE = "to_review.jsonl", "removed.jsonl"
"""Files of the work: rows that a person should look at, and rows that go."""
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
        measuring: whose chunks the steps select from, and whose folder the lines are in.
    """

    def __init__(self, measuring: Measuring) -> None:
        rows, count = measuring.rows, measuring.count
        self.table = Table(rows, np.arange(count), decided=measuring.decided)
        self.review = ToReview(measuring.folder / TO_REVIEW)
        self.usable_R = np.ones(count, bool)
        """Which rows of the input can be trained on at all: those of the control are among them."""
        skipped = list(rows.skipped) if measuring.recipe.limit is None else []
        self.stages = [Stage(READING, count + len(skipped), count)]
        self._measuring, self._gone = measuring, measuring.folder / GONE
        with self._gone.open("w", encoding="utf-8") as file:
            for bad in skipped:
                _write(file, bad.id, None, READING, bad.reason)

    def go_on(self) -> None:
        """Let the next step select; what it selects from is measured.

        Raises:
            RefusedError: it leaves no row.
        """
        return_freed_memory()  # of reading and of measuring: it would be on top of what selecting takes
        place = len(self.stages) - 1
        step, table = self._measuring.recipe.steps[place], self.table
        name, before = type(step).__name__, len(table)
        selection = self._measuring.select(step, table)
        first = None
        with self._gone.open("a", encoding="utf-8") as file:
            for row, reason in selection.removed:
                first = first or (row, reason)
                if step.unfit:
                    self.usable_R[row] = False
                _write(file, table.source[row].id, row, name, reason)
        self.review.add(name, (item for item in selection.review if item[0] not in table.decided))
        table.apply(selection)
        self.stages.append(Stage(name, before, len(table)))
        if not len(table):
            told = f"; row {shown(table.source[first[0]].id)}: {first[1]}" if first else ""
            raise RefusedError(
                f"steps: {name} (step {place + 1}) has left none of {before} rows{told}; change its "
                f"options or leave it out"
            )

    def finish(self, path: Path) -> None:
        """Let all steps select that have not yet, and write the lines of all rows that went.

        Args:
            path: of the JSONL file.

        Raises:
            RefusedError: a step leaves no row.
        """
        while len(self.stages) <= len(self._measuring.recipe.steps):
            self.go_on()
        with self._gone.open("rb") as lines, whole_file(path, "wb") as file:
            shutil.copyfileobj(lines, file)


def _write(file: IO[str], name: str, row: int | None, step: str, reason: str) -> None:
    record = {"id": name, "row": row, "step": step, "reason": reason}
    file.write(json.dumps(record, ensure_ascii=False) + "\n")


def removed(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file of rows that went."""
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
