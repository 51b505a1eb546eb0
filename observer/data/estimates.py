"""Difficulties estimated from a run's pass rates, as a file that the next run can start from.

The file holds one JSON object per row, ``{"id": .., "difficulty": .., "complexity": .., "visits": ..}``. The
estimate itself is ``LadderIndex.estimates``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from observer.curriculum import LadderIndex
from observer.data import fields
from observer.data.rows import Rows
from observer.refusal import shown
from observer.run.files import whole_file
from observer.types import Problem, RefusedError

FIELDS = {"id", "difficulty", "complexity", "visits"}


class Estimate(NamedTuple):
    """The estimate of one row in a file."""

    line: int
    """Its line, from 1."""
    fields: Mapping[str, Any]
    """The row's ``difficulty`` and, where the file gives it, its ``complexity``."""


def write_estimates(
    path: str | Path, rows: Rows, index: LadderIndex, prior_visits: float = 1.0, visited_only: bool = False
) -> int:
    """Write the present difficulties of a ladder's rows; see ``LadderIndex.estimates``.

    Rows that were not visited keep their difficulty, with 0 visits. The file is complete or not there.

    Args:
        path: the JSONL file; one that exists is replaced.
        rows: the ladder's rows, for their ids.
        index: the pass rates seen so far.
        prior_visits: the number of visits that the difficulty before the run counts as.
        visited_only: leave out rows without a visit. Reading an id takes some 20 microseconds.

    Returns:
        How many rows were written.
    """
    estimates = index.estimates(prior_visits)
    numbers: Sequence[int] = estimates.rows_N.tolist() if visited_only else range(len(index))
    difficulty = dict(zip(estimates.rows_N.tolist(), estimates.difficulty_N.tolist(), strict=True))
    with whole_file(Path(path)) as out:
        for row in numbers:
            record = {
                "id": rows[row].id,
                "difficulty": difficulty.get(row, float(index.difficulty_R[row])),
                "complexity": float(index.complexity_R[row]),
                "visits": int(index.visits_R[row]),
            }
            out.write(json.dumps(record, ensure_ascii=False) + "\n")
    return len(numbers)


def read_estimates(path: str) -> dict[str, Estimate]:
    """Read a file of estimates; blank lines are allowed.

    Args:
        path: the file.

    Returns:
        Id -> its estimate.

    Raises:
        RefusedError: the file cannot be read or a line of it is no estimate; names file, line and value.
    """
    found: dict[str, Estimate] = {}
    try:
        with open(path, encoding="utf-8-sig") as file:
            for line, text in enumerate(file, start=1):
                if text.strip():
                    _read_line(path, line, text.strip(), found)
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(
            f"{Path(path).absolute()} cannot be read ({error}); set difficulty_from to a file of estimates"
        ) from error
    return found


def _read_line(path: str, line: int, text: str, found: dict[str, Estimate]) -> None:
    try:
        record = fields.parse_json(text)
        if not isinstance(record, dict) or not {"id", "difficulty"} <= record.keys() <= FIELDS:
            raise RefusedError(
                f"is {shown(record)}; write an object with id, difficulty, complexity and visits"
            )
        name = fields.identity(record, "")
        estimate = {"difficulty": fields.number(record, "difficulty", 0.0, high=1)}
        if "complexity" in record:
            estimate["complexity"] = fields.number(record, "complexity", Problem.complexity)
        if name in found:
            raise RefusedError(f"id {shown(name)} is in line {found[name].line} already; keep one of the two")
    except RefusedError as error:
        raise RefusedError(f"{path}:{line}: {error}") from error
    found[name] = Estimate(line, estimate)
