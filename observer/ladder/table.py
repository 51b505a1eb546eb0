"""The rows that are still in, with all that was measured of them: what a step selects from."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from observer.data.rows import Rows
from observer.ladder.measured import Measured
from observer.ladder.selection import Selection
from observer.types import Problem


class Table(Sequence[Problem]):
    """Rows of the input by their numbers, in an order, with columns; as a sequence, their problems.

    Args:
        source: the input.
        rows_N: the rows that are in, in their order.
        measured: columns on the disk.
    """

    def __init__(self, source: Rows, rows_N: np.ndarray, measured: Sequence[Measured] = ()) -> None:
        self.source = source
        self.rows_N = rows_N
        self._measured = list(measured)
        self._added: dict[str, np.ndarray] = {}
        self.answers: dict[int, str] = {}
        """Row -> its gold answer, where it was corrected."""

    def __len__(self) -> int:
        return len(self.rows_N)

    def __getitem__(self, place: Any) -> Any:
        return self.source[int(self.rows_N[place])]

    def add(self, measured: Measured) -> None:
        """Add the columns of a step."""
        self._measured.append(measured)

    def numbers(self, name: str) -> np.ndarray:
        """Return a column, (N,), float64, in the order of the rows; nan where a row was not measured.

        Raises:
            KeyError: no step has measured or added it.
        """
        if name in self._added:
            return self._added[name]
        for measured in reversed(self._measured):
            if name in measured.names:
                return measured.numbers(name, self.rows_N)
        raise KeyError(name)

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
        for measured in self._measured:
            found |= measured.record(row, [name for name in names if name in measured.names])
        return found

    def problem(self, row: int) -> Problem:
        """Return the problem of a row of the input, as it was read."""
        return self.source[row]

    def apply(self, selection: Selection) -> None:
        """Go on with the rows that a step has selected, in their new order, and its columns."""
        if self._added and not np.array_equal(self.rows_N, selection.rows_N):
            order = np.argsort(self.rows_N, kind="stable")
            found = order[np.searchsorted(self.rows_N, selection.rows_N, sorter=order)]
            self._added = {name: values[found] for name, values in self._added.items()}
        self.rows_N = selection.rows_N
        self._added |= dict(selection.columns)
        self.answers |= selection.answers

    @property
    def added(self) -> Mapping[str, np.ndarray]:
        """The columns that steps have added."""
        return self._added
