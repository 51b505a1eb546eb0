"""Lets the steps of a recipe select from all rows, and says of each row that goes why."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from observer.ladder.measuring import Measuring
from observer.ladder.table import Table
from observer.refusal import shown
from observer.run.files import whole_file
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


@dataclass
class Selected:
    """The rows of a ladder in their order, and how they were selected."""

    table: Table
    review: ToReview
    """Row, step, why."""
    stages: list[Stage] = field(default_factory=list)
    usable_R: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))
    """Which rows of the input can be trained on at all: those of the control are among them."""


def select(measuring: Measuring, path: Path) -> Selected:
    """Select the rows of a ladder, and write a line for each that goes.

    Args:
        measuring: all of whose chunks are finished.
        path: of the JSONL file of rows that go.

    Raises:
        RefusedError: a step leaves no row.
    """
    rows, count = measuring.rows, measuring.count
    table = Table(rows, np.arange(count), decided=measuring.decided)
    usable_R = np.ones(count, bool)
    selected = Selected(table, ToReview(measuring.folder / TO_REVIEW), usable_R=usable_R)
    skipped = list(rows.skipped) if measuring.recipe.limit is None else []
    selected.stages.append(Stage(READING, count + len(skipped), count))
    with whole_file(path) as file:
        for bad in skipped:
            _write(file, bad.id, None, READING, bad.reason)
        for place, step in enumerate(measuring.recipe.steps):
            name, before = type(step).__name__, len(table)
            selection = measuring.select(step, table)
            first = None
            for row, reason in selection.removed:
                first = first or (row, reason)
                if step.unfit:
                    usable_R[row] = False
                _write(file, rows[row].id, row, name, reason)
            listed = (item for item in selection.review if item[0] not in table.decided)
            selected.review.add(name, listed)
            table.apply(selection)
            selected.stages.append(Stage(name, before, len(table)))
            if not len(table):
                told = f"; row {shown(rows[first[0]].id)}: {first[1]}" if first else ""
                raise RefusedError(
                    f"steps: {name} (step {place + 1}) has left none of {before} rows{told}; change its "
                    f"options or leave it out"
                )
    return selected


def _write(file: Any, name: str, row: int | None, step: str, reason: str) -> None:
    record = {"id": name, "row": row, "step": step, "reason": reason}
    file.write(json.dumps(record, ensure_ascii=False) + "\n")


def removed(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file of rows that went."""
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)
