"""What a step has measured: columns in files that are mapped into memory, looked up by row."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from observer.run.files import whole_file

ROW = "row"
"""The column that says which row of the input the others are of; in ascending order."""


def write_columns(path: Path, schema: pa.Schema, batch: pa.RecordBatch) -> None:
    """Write columns as an Arrow file, whole or not at all."""
    with whole_file(path, "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(batch)


class Measured:
    """The columns of a step's chunks. Texts and samples stay on the disk until one is asked for.

    Args:
        paths: Arrow files, whose rows ascend from each to the next.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._batches: list[pa.RecordBatch] = []
        self.names: tuple[str, ...] = ()
        for path in paths:
            with pa.memory_map(str(path)) as mapped:
                opened = pa.ipc.open_file(mapped)
                self.names = tuple(name for name in opened.schema.names if name != ROW)
                self._batches += map(opened.get_batch, range(opened.num_record_batches))
        self._starts = [0, *accumulate(len(batch) for batch in self._batches)]
        self._rows_M = _array(self._batches, ROW, np.int64)

    def __len__(self) -> int:
        return len(self._rows_M)

    def numbers(self, name: str, rows_N: np.ndarray) -> np.ndarray:
        """Return a column of numbers for some rows, (N,), float64; nan where it was not measured."""
        place_N = self._places(rows_N)
        if not len(self):
            return np.full(len(rows_N), np.nan)
        values_M = _array(self._batches, name, np.float64)
        return np.where(place_N >= 0, values_M[place_N], np.nan)

    def records(self, name: str, rows_N: np.ndarray, into_N: np.ndarray) -> None:
        """Copy a column of bytes for some rows, all of which were measured; one chunk at a time.

        Args:
            name: of the column, of as many bytes as a record.
            rows_N: the rows.
            into_N: records that are written to, one for each row.
        """
        place_N = self._places(rows_N)
        for start, batch in zip(self._starts, self._batches, strict=False):
            here_N = np.flatnonzero((place_N >= start) & (place_N < start + len(batch)))
            cells = np.frombuffer(b"".join(batch[name].to_pylist()), into_N.dtype)
            into_N[here_N] = cells[place_N[here_N] - start]

    def record(self, row: int, names: Sequence[str]) -> dict[str, Any]:
        """Return some columns of a row, of any type; None where it was not measured."""
        place = int(self._places(np.array([row]))[0])
        if place < 0:
            return dict.fromkeys(names)
        part = bisect_right(self._starts, place) - 1
        cell = place - self._starts[part]
        return {name: self._batches[part][name][cell].as_py() for name in names}

    def _places(self, rows_N: np.ndarray) -> np.ndarray:
        if not len(self._rows_M):
            return np.full(len(rows_N), -1)
        place_N = np.minimum(np.searchsorted(self._rows_M, rows_N), len(self._rows_M) - 1)
        return np.where(self._rows_M[place_N] == rows_N, place_N, -1)


def _array(batches: Sequence[pa.RecordBatch], name: str, dtype: type[np.generic]) -> np.ndarray:
    """Return a column of numbers; a missing one is nan."""
    parts = []
    for batch in batches:
        column = batch[name]
        numbers = np.from_dlpack(column.fill_null(0) if column.null_count else column).astype(dtype)
        if column.null_count:
            numbers[np.array(column.is_null().to_pylist())] = np.nan
        parts.append(numbers)
    return np.concatenate(parts) if parts else np.zeros(0, dtype)
