"""Holds Arrow batches on the disk once there are many: a million rows that are checked take no memory.

Once it is read the file has no name: it is gone when nothing reads it any more.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice

import pyarrow as pa

from observer.data.checks import cache

ROWS_IN_MEMORY = 65_536
"""Rows up to which nothing is written."""
ENDING = ".spool"
_FAULTS = (OSError, RuntimeError)
"""Of a disk that is full or cannot be written, or of a user without a home: the rows stay in memory."""


class Spool:
    """Batches of one schema, first added, then read in the same order."""

    def __init__(self) -> None:
        self._held: list[pa.RecordBatch] = []
        self._rows = 0
        self._written = 0
        self._path: str | None = None
        self._file: pa.NativeFile | None = None
        self._stream: pa.RecordBatchStreamWriter | None = None
        self._fails = False

    def add(self, batch: pa.RecordBatch) -> None:
        """Add a batch."""
        self._held.append(batch)
        self._rows += len(batch)
        if self._rows > ROWS_IN_MEMORY and not self._fails:
            try:
                self._write()
            except _FAULTS:
                self._fails = True

    def batches(self) -> list[pa.RecordBatch]:
        """Return all batches. Nothing may be added afterwards."""
        if self._path is None:
            return self._held
        if self._stream is not None and self._file is not None:
            with suppress(*_FAULTS):
                self._stream.close()
            with suppress(*_FAULTS):
                self._file.close()
        mapped = pa.memory_map(self._path)
        os.unlink(self._path)
        # What follows the last whole batch may be half of one.
        whole = islice(pa.ipc.open_stream(mapped), self._written) if self._written else ()
        return [*whole, *self._held]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return iter(self.batches())

    def _write(self) -> None:
        if self._stream is None:
            folder = cache.folder() / "rows"
            folder.mkdir(parents=True, exist_ok=True)
            number, self._path = tempfile.mkstemp(dir=folder, prefix="rows-", suffix=ENDING)
            os.close(number)
            self._file = pa.OSFile(self._path, "wb")
            self._stream = pa.ipc.new_stream(self._file, self._held[0].schema)
        while self._held:
            self._stream.write_batch(self._held[0])
            self._written += 1
            del self._held[0]
