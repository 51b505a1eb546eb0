"""What a step has measured: columns in files that are mapped into memory, looked up by row."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from observer.run.files import whole_file

ROW = "row"
"""The column that says which row of the input the others are of; in ascending order."""
OPEN = 512
"""Files that stay mapped for the next row that is looked up: some 16 kB of memory each."""


def write_columns(path: Path, schema: pa.Schema, batch: pa.RecordBatch) -> None:
    """Write columns as an Arrow file, whole or not at all."""
    with whole_file(path, "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(batch)


class Measured:
    """The columns of a step's chunks. They stay on the disk until some are asked for.

    Args:
        paths: Arrow files of one batch, whose rows ascend from each to the next.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self.names: tuple[str, ...] = ()
        self._paths: list[Path] = []
        self._firsts: list[int] = []
        for path in paths:
            batch = read_columns(path)
            self.names = tuple(name for name in batch.schema.names if name != ROW)
            if len(batch):
                self._paths.append(path)
                self._firsts.append(batch[ROW][0].as_py())
        self._opened = lru_cache(OPEN)(read_columns)

    def numbers(self, name: str, rows_N: np.ndarray) -> np.ndarray:
        """Return a column of numbers for some rows, (N,), float64; nan where it was not measured."""
        values_N = np.full(len(rows_N), np.nan)
        for batch, place_N, cell_N in self._found(rows_N):
            values_N[place_N] = _array(batch[name], np.float64)[cell_N]
        return values_N

    def records(self, name: str, rows_N: np.ndarray, into_N: np.ndarray) -> None:
        """Copy a column of bytes for some rows, all of which were measured; one chunk at a time.

        Args:
            name: of the column, of as many bytes as a record.
            rows_N: the rows.
            into_N: records that are written to, one for each row.
        """
        for batch, place_N, cell_N in self._found(rows_N):
            into_N[place_N] = np.frombuffer(b"".join(batch[name].to_pylist()), into_N.dtype)[cell_N]

    def record(self, row: int, names: Sequence[str]) -> dict[str, Any]:
        """Return some columns of a row, of any type; None where it was not measured."""
        if names and (at := bisect_right(self._firsts, row) - 1) >= 0:
            batch = self._opened(self._paths[at])
            rows_M = _array(batch[ROW], np.int64)
            cell = int(np.searchsorted(rows_M, row))
            if cell < len(rows_M) and rows_M[cell] == row:
                return {name: batch[name][cell].as_py() for name in names}
        return dict.fromkeys(names)

    def _found(self, rows_N: np.ndarray) -> Iterator[tuple[pa.RecordBatch, np.ndarray, np.ndarray]]:
        """Yield (batch, places in ``rows_N``, places in the batch) of the rows that were measured."""
        order_N = np.argsort(rows_N, kind="stable")
        starts = [*np.searchsorted(rows_N, self._firsts, sorter=order_N).tolist(), len(rows_N)]
        for path, begin, end in zip(self._paths, starts, starts[1:], strict=False):
            place_N = order_N[begin:end]
            if len(place_N):
                batch = read_columns(path)
                rows_M = _array(batch[ROW], np.int64)
                cell_N = np.minimum(np.searchsorted(rows_M, rows_N[place_N]), len(rows_M) - 1)
                good_N = rows_M[cell_N] == rows_N[place_N]
                yield batch, place_N[good_N], cell_N[good_N]


def rows_of(path: Path) -> np.ndarray:
    """Return the rows of the input that a file has columns of, ascending."""
    return _array(read_columns(path)[ROW], np.int64)


def read_columns(path: Path) -> pa.RecordBatch:
    """Return what a file holds, mapped: columns that nobody reads are not read."""
    with pa.memory_map(str(path)) as mapped:
        return pa.ipc.open_file(mapped).get_batch(0)


def _array(column: pa.Array, dtype: type[np.generic]) -> np.ndarray:
    """Return a column of numbers; a missing one is nan."""
    numbers = np.from_dlpack(column.fill_null(0) if column.null_count else column).astype(dtype)
    if column.null_count:
        numbers[np.array(column.is_null().to_pylist())] = np.nan
    return numbers
