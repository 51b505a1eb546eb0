"""The rows that are left when some are refused before training, and the list of those that were left out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from observer.data.checks.cache import digest
from observer.data.rows import Identity, Rows, Skipped
from observer.refusal import shown
from observer.run.files import whole_file
from observer.types import Problem, RefusedError


class Subset(Rows):
    """Some rows of a source, numbered anew: those that were not refused, or a part of them."""

    def __init__(self, rows: Rows, bad: Sequence[tuple[int, RefusedError]]) -> None:
        """Leave rows out.

        Args:
            rows: an opened source.
            bad: the rows to leave out, and why.

        Raises:
            RefusedError: nothing is left.
        """
        kept_R = np.delete(np.arange(len(rows)), [row for row, _ in bad])
        if not len(kept_R):
            raise RefusedError(f"all {len(rows)} rows were refused, the first: {bad[0][1]}")
        self._keep(rows, kept_R, [row for row, _ in bad])
        self.skipped = [*rows.skipped, *(left_out(rows[row], error) for row, error in bad)]

    @classmethod
    def of(cls, rows: Rows, kept_R: np.ndarray, name: str) -> Subset:
        """Return a part of rows.

        Args:
            rows: an opened source.
            kept_R: numbers of the part's rows.
            name: what tells this part from others, for the cache of checks.
        """
        part = cls.__new__(cls)
        part._keep(rows, kept_R, name)
        part.skipped = rows.skipped
        return part

    def _keep(self, rows: Rows, kept_R: np.ndarray, name: object) -> None:
        self._rows = rows
        self._kept_R: np.ndarray = kept_R
        self.difficulty = rows.difficulty[self._kept_R]
        self.complexity = rows.complexity[self._kept_R]
        self.level = rows.level[self._kept_R]
        self.source = None if rows.source is None else rows.source[self._kept_R]
        self.sources = rows.sources
        if rows.identity is not None:
            self.identity = Identity(rows.identity.place, digest((rows.identity.digest, name)))

    def __len__(self) -> int:
        return len(self._kept_R)

    def __getitem__(self, row: int) -> Problem:
        return replace(self._rows[int(self._kept_R[row])], row=row)

    def fingerprints(self) -> np.ndarray:
        """Return those of the rows that are left."""
        left_R: np.ndarray = self._rows.fingerprints()[self._kept_R]
        return left_R

    def digests(self) -> tuple[np.ndarray, np.ndarray]:
        """Return those of the rows that are left."""
        row_D, digest_D = self._rows.digests()
        place_R = np.full(len(self._rows), -1)
        place_R[self._kept_R] = np.arange(len(self._kept_R))
        own_D: np.ndarray = place_R[row_D]
        kept_D = np.flatnonzero(own_D >= 0)
        return own_D[kept_D], digest_D[kept_D]

    def checked_rows(self) -> list[int]:
        """Return the source's rows to check, without those that were left out."""
        checked = set(self._rows.checked_rows())
        return [row for row, old in enumerate(self._kept_R.tolist()) if old in checked]


def left_out(problem: Problem, error: RefusedError) -> Skipped:
    """Return a row that was read and is left out, with its place."""
    file, _, line = problem.source.rpartition(":")
    if not line.isdecimal():  # of no file
        file, line = problem.source, "0"
    reason = str(error).removeprefix(f"{problem.source}: row {shown(problem.id)}: ")
    return Skipped(file, int(line), problem.id, reason)


def list_skipped(file: Path, skipped: Mapping[str, Sequence[Skipped]]) -> None:
    """Replace the lines of these splits in a file; lines of other splits stay."""
    old = file.read_text(encoding="utf-8").split("\n")[:-1] if file.is_file() else []
    lines = [line for line in old if json.loads(line)["split"] not in skipped]
    for split, rows in skipped.items():
        for row in rows:
            record = {"split": split, "file": row.file, "line": row.line, "id": row.id, "reason": row.reason}
            lines.append(json.dumps(record, ensure_ascii=False))
    if lines or old:
        with whole_file(file) as out:
            out.writelines(f"{line}\n" for line in lines)
