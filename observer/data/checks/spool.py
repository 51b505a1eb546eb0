"""Holds Arrow batches on the disk once there are many: a million rows that are checked take no memory.

Once it is read the file has no name: it is gone when nothing reads it any more.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from typing import IO

import pyarrow as pa

from observer.data.checks import cache

ROWS_IN_MEMORY = 65_536
"""Rows up to which nothing is written."""


class Spool:
    """Batches of one schema, first added, then read in the same order."""

    def __init__(self) -> None:
        self._held: list[pa.RecordBatch] = []
        self._rows = 0
        self._file: IO[bytes] | None = None
        self._name = ""
        self._stream: pa.RecordBatchStreamWriter | None = None

    def add(self, batch: pa.RecordBatch) -> None:
        """Add a batch."""
        self._held.append(batch)
        self._rows += len(batch)
        if self._rows > ROWS_IN_MEMORY:
            with suppress(OSError):  # of a disk that is full or cannot be written: the rows stay in memory
                self._write()

    def batches(self) -> list[pa.RecordBatch]:
        """Return all batches. Nothing may be added afterwards."""
        if self._stream is None or self._file is None:
            return self._held
        self._stream.close()
        self._file.close()
        mapped = pa.memory_map(self._name)
        os.unlink(self._name)
        return [*pa.ipc.open_stream(mapped), *self._held]

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return iter(self.batches())

    def _write(self) -> None:
        if self._file is None:
            folder = cache.folder() / "rows"
            folder.mkdir(parents=True, exist_ok=True)
            number, name = tempfile.mkstemp(dir=folder, suffix=".spool")
            self._file = os.fdopen(number, "wb")
            self._name = name
            self._stream = pa.ipc.new_stream(self._file, self._held[0].schema)
        assert self._stream is not None
        while self._held:
            self._stream.write_batch(self._held[0])
            del self._held[0]
