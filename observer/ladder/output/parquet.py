"""The parquet file of a ladder: every measured column; its metadata say what it was measured with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from observer.run.files import whole_file

OWN = {
    "id": pa.string(),
    "row": pa.int64(),
    "source": pa.string(),
    "message": pa.string(),
    "question": pa.string(),
    "answer": pa.string(),
    "kind": pa.string(),
    "options": pa.list_(pa.string()),
    "pictures": pa.list_(pa.string()),
    "metadata": pa.string(),
    "level": pa.int32(),
}
"""Columns that no step measures; ``row`` is the row's number in the input, ``message`` its chat as JSON."""
BLOCK = 1024
"""Rows that are written at a time."""
PROVENANCE = b"observer.provenance"
"""The key of the file's metadata that holds the recipe, the models and the versions, as JSON."""


class Writer:
    """Writes rows in blocks.

    Args:
        schema: of the file.
        file: that is open.
        block: rows that are written at a time.
    """

    def __init__(self, schema: pa.Schema, file: Any, block: int = BLOCK) -> None:
        self._schema = schema
        self._rows = block
        self._file = pq.ParquetWriter(file, schema, compression="zstd")
        self._block: list[dict[str, Any]] = []

    def write(self, record: Mapping[str, Any]) -> None:
        """Write a row."""
        self._block.append(dict(record))
        if len(self._block) == self._rows:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait."""
        if self._block:
            self._file.write_table(pa.Table.from_pylist(self._block, self._schema))
            self._block = []

    def close(self) -> None:
        """Write the end of the file."""
        self.flush()
        self._file.close()


@contextmanager
def parquet(
    path: Path, columns: Mapping[str, pa.DataType], provenance: Mapping[str, Any]
) -> Iterator[Writer]:
    """Write a parquet file, whole or not at all.

    Args:
        path: of the file.
        columns: those that steps have measured or added.
        provenance: builtins.
    """
    text = json.dumps(provenance, sort_keys=True).encode()
    schema = pa.schema({**OWN, **columns}, metadata={PROVENANCE: text})
    with whole_file(path, "wb") as file, closing(Writer(schema, file)) as writer:
        yield writer
