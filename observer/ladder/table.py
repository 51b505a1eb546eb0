"""The rows that are still in, with all that was measured of them: what a step selects from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from observer.data.rows import Rows
from observer.ladder.measured import Measured
from observer.ladder.selection import Selection
from observer.pages.decisions import Decision
from observer.types import Problem
from observer.verifier.verify import infer_kind

NO_DECISIONS: Mapping[int, Decision] = {}
"""Nobody has decided anything."""


class Table(Sequence[Problem]):
    """Rows of the input by their numbers, in an order, with columns; as a sequence, their problems.

    Args:
        source: the input.
        rows_N: the rows that are in, in their order.
        measured: columns on the disk.
        decided: what people have decided on rows of the input.
    """

    def __init__(
        self,
        source: Rows,
        rows_N: np.ndarray,
        measured: Sequence[Measured] = (),
        decided: Mapping[int, Decision] = NO_DECISIONS,
    ) -> None:
        self.source = source
        self.rows_N = rows_N
        self.decided = decided
        self._measured = list(measured)
        self._asked: list[tuple[int, np.ndarray]] = [self._in()] * len(self._measured)
        self._added: dict[str, np.ndarray] = {}
        self._corrected: dict[int, Mapping[str, Any]] = {}

    def __len__(self) -> int:
        return len(self.rows_N)

    def __getitem__(self, place: Any) -> Any:
        return self.problem(int(self.rows_N[place]))

    def among(self, *choices: str) -> np.ndarray:
        """Return which rows people have decided on in one of these ways, (N,), bool."""
        rows = [row for row, decision in self.decided.items() if decision.choice in choices]
        found: np.ndarray = np.isin(self.rows_N, np.array(rows, np.int64))
        return found

    def add(self, measured: Measured) -> None:
        """Add the columns of a step, which are those of the rows that are in now.

        There may be more, which an earlier build has measured: nobody sees them, or the ladder would depend
        on what was built before.
        """
        self._measured.append(measured)
        self._asked.append(self._in())

    def _in(self) -> tuple[int, np.ndarray]:
        """Return the first row that is in, and for it and the rows after it whether they are."""
        first = int(self.rows_N.min()) if len(self) else 0
        return first, np.bincount(self.rows_N - first).astype(bool)

    def numbers(self, name: str) -> np.ndarray:
        """Return a column, (N,), float64, in the order of the rows; nan where a row was not measured.

        Raises:
            KeyError: no step has measured or added it.
        """
        if name in self._added:
            return self._added[name]
        for measured in reversed(self._measured):
            if name in measured.names:
                return self._patched(name, measured.numbers(name, self.rows_N))
        raise KeyError(name)

    def _patched(self, name: str, values_N: np.ndarray) -> np.ndarray:
        """Return a column with the values that corrected gold answers have changed."""
        changed = {row: its[name] for row, its in self._corrected.items() if name in its}
        if not changed:
            return values_N
        values_N = values_N.copy()
        for place in np.flatnonzero(np.isin(self.rows_N, list(changed))).tolist():
            value = changed[int(self.rows_N[place])]
            values_N[place] = np.nan if value is None else value
        return values_N

    @contextmanager
    def records(self, name: str, kind: np.dtype[Any]) -> Iterator[np.ndarray]:
        """Lend a column of records of several numbers, (N,), mapped from a file: it need not fit the memory.

        Args:
            name: of a column of bytes that every row has.
            kind: of a record.

        Raises:
            KeyError: no step has measured it.
        """
        for measured in reversed(self._measured):
            if name in measured.names:
                break
        else:
            raise KeyError(name)
        with tempfile.TemporaryFile() as file:
            found: np.ndarray = np.empty(0, kind)
            if len(self):
                found = np.memmap(file, kind, "w+", shape=(len(self),))
                measured.records(name, self.rows_N, found)
            yield found

    def value(self, name: str, row: int) -> Any:
        """Return the measured value of a row of the input, of any type; None where it was not measured."""
        return self.record(row, [name])[name]

    def record(self, row: int, names: Sequence[str]) -> dict[str, Any]:
        """Return measured values of a row of the input; None for those that were not measured."""
        found: dict[str, Any] = dict.fromkeys(names)
        for measured, (first, asked) in zip(self._measured, self._asked, strict=True):
            if not (first <= row < first + len(asked) and asked[row - first]):
                continue
            found |= measured.record(row, [name for name in names if name in measured.names])
        changed = self._corrected.get(row, {})
        return found | {name: changed[name] for name in names if name in changed}

    def problem(self, row: int) -> Problem:
        """Return the problem of a row of the input, with its gold answer as people have corrected it."""
        problem = self.source[row]
        decision = self.decided.get(row)
        if decision is None or decision.gold is None:
            return problem
        kind = problem.kind or infer_kind(decision.gold, problem.options)
        return replace(problem, answer=decision.gold, kind=kind)

    def apply(self, selection: Selection) -> None:
        """Go on with the rows that a step has selected, in their new order, and its columns."""
        if self._added and not np.array_equal(self.rows_N, selection.rows_N):
            order = np.argsort(self.rows_N, kind="stable")
            found = order[np.searchsorted(self.rows_N, selection.rows_N, sorter=order)]
            self._added = {name: values[found] for name, values in self._added.items()}
        self.rows_N = selection.rows_N
        self._added |= dict(selection.columns)
        if selection.corrected:
            for row, values in selection.corrected.items():
                self._corrected[row] = {**self._corrected.get(row, {}), **values}
            self._added = {name: self._patched(name, values) for name, values in self._added.items()}

    @property
    def added(self) -> Mapping[str, np.ndarray]:
        """The columns that steps have added."""
        return self._added
