"""The problems of a file in Arrow columns: a million rows take some hundred megabytes, not gigabytes.

It stores problems that were checked and returns them; it reads and checks no file.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, zip_longest
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from observer.data.fingerprints import fingerprint, shown_digests
from observer.data.images import PictureLimits, file_picture
from observer.data.rows import Identity, Rows, Skipped
from observer.types import Problem, Turn

_TEXTS = pa.list_(pa.string())
SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "file": pa.int32(),
        "line": pa.int64(),
        "roles": _TEXTS,
        "texts": _TEXTS,
        "answer": pa.string(),
        "kind": pa.string(),
        "pictures": _TEXTS,
        "marks": _TEXTS,
        "pixels": pa.list_(pa.uint64()),
        "options": _TEXTS,
        "difficulty": pa.float64(),
        "complexity": pa.float64(),
        "level": pa.int64(),
        "metadata": pa.string(),
        "source": pa.string(),
        "fingerprint": pa.uint64(),
    }
)
"""One row per problem. ``file`` is which of the source's files it is from. ``marks`` are those of its
pictures once they were checked (``images.picture_mark``), ``pixels`` their digests if they were decoded.
``metadata`` is JSON, since its fields differ; ``source`` is one of them. The fingerprint knows pictures by
name until they are looked at."""


def record_batch(problems: Sequence[tuple[tuple[int, int], Problem]]) -> pa.RecordBatch:
    """Store problems with the number of their file, their line, and the names of their pictures."""
    return pa.RecordBatch.from_pylist(
        [_record(*place, problem) for place, problem in problems], schema=SCHEMA
    )


def _record(file: int, line: int, problem: Problem) -> dict[str, object]:
    return {
        "id": problem.id,
        "file": file,
        "line": line,
        "roles": [turn.role for turn in problem.turns],
        "texts": [turn.text for turn in problem.turns],
        "answer": problem.answer,
        "kind": problem.kind,
        "pictures": [picture.name for picture in problem.pictures],
        "marks": None,
        "pixels": None,
        "options": problem.options,
        "difficulty": problem.difficulty,
        "complexity": problem.complexity,
        "level": problem.level,
        "metadata": json.dumps(dict(problem.metadata), ensure_ascii=False) if problem.metadata else None,
        "source": source if isinstance(source := problem.metadata.get("source"), str) else None,
        "fingerprint": fingerprint(problem),
    }


def numbered_pictures(batches: Iterable[pa.RecordBatch]) -> tuple[pa.ChunkedArray, list[pa.Array]]:
    """Return the names of the pictures of rows, each once, as they come first, and their numbers.

    Returns:
        The names, and for each batch the number of the name of each of its pictures.
    """
    names = [batch["pictures"].flatten().cast(pa.large_string()) for batch in batches]
    if not any(map(len, names)):
        return pa.chunked_array([], pa.large_string()), [pa.array([], pa.int32()) for _ in names]
    encoded = pc.dictionary_encode(pa.chunked_array(names)).chunks
    parts = iter(encoded)  # Arrow leaves out parts without a name
    codes = [next(parts).indices if len(part) else pa.array([], pa.int32()) for part in names]
    return pa.chunked_array([encoded[-1].dictionary], pa.large_string()), codes


class FileRows(Rows):
    """The problems of a file, or of several that are one source.

    Args:
        batches: stored problems, in the order of the files.
        path: the source.
        root: the data folder of their pictures.
        limits: the most pixels of a picture.
        skipped: rows of the file that were left out.
        identity: what tells whether they are still the same, if they are kept.
        files: of the source, where it is not one file.
    """

    def __init__(
        self,
        batches: Sequence[pa.RecordBatch],
        path: str,
        root: str,
        limits: PictureLimits,
        skipped: Sequence[Skipped] = (),
        identity: Identity | None = None,
        files: Sequence[str] = (),
    ) -> None:
        self._batches = [batch for batch in batches if len(batch)]
        self._starts = [0, *accumulate(len(batch) for batch in self._batches)]
        self._path = path
        self._files = tuple(files) or (path,)
        self._root = root
        self._limits = limits
        self.skipped = tuple(skipped)
        self.identity = identity
        self.difficulty = self._column("difficulty", np.float32)
        self.complexity = self._column("complexity", np.float32)
        self.level = self._column("level", np.int64)
        self.source, self.sources = self._named_sources()

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the columns take."""
        return sum(batch.nbytes for batch in self._batches)

    def __len__(self) -> int:
        return self._starts[-1]

    def __getitem__(self, row: int) -> Problem:
        row = range(len(self))[row]
        part = bisect_right(self._starts, row) - 1
        record = self._batches[part].slice(row - self._starts[part], 1).to_pylist()[0]
        return Problem(
            id=record["id"],
            row=row,
            turns=tuple(map(Turn, record["roles"], record["texts"])),
            answer=record["answer"],
            kind=record["kind"],
            pictures=tuple(
                file_picture(name, self._root, self._limits, mark)
                for name, mark in zip_longest(record["pictures"], record["marks"] or ())
            ),
            options=tuple(record["options"]),
            difficulty=record["difficulty"],
            complexity=record["complexity"],
            level=record["level"],
            metadata=json.loads(record["metadata"] or "{}"),
            source=f"{self._files[record['file']]}:{record['line']}",
        )

    def fingerprints(self) -> np.ndarray:
        """Return those that were stored with the rows."""
        return self._column("fingerprint", np.uint64)

    def digests(self) -> tuple[np.ndarray, np.ndarray]:
        """Return those of pictures that were stored with the rows, and those of texts."""
        if any(batch["pixels"].null_count for batch in self._batches):  # only headers were read
            return super().digests()
        rows: list[np.ndarray] = []
        found: list[np.ndarray] = []
        for start, batch in zip(self._starts, self._batches, strict=False):
            lengths_B = _array(pc.list_value_length(batch["pixels"]))
            rows.append(start + np.repeat(np.arange(len(batch)), lengths_B))
            found.append(_array(batch["pixels"].flatten()))
            plain = np.flatnonzero(lengths_B == 0)
            asked = [shown_digests(self[start + row])[0] for row in plain.tolist()]
            rows.append(start + plain)
            found.append(np.array(asked, np.uint64))
        return np.concatenate(rows), np.concatenate(found)

    def checked_rows(self) -> range:
        """Return all rows: any row of a file may be too long."""
        return range(len(self))

    def _named_sources(self) -> tuple[np.ndarray, list[str]]:
        """Return which source each row is from, and their names; rows that name none are of the file."""
        if not self._batches:
            return np.zeros(0, np.int32), [Path(self._path).name]
        column = pa.chunked_array([batch["source"] for batch in self._batches])
        codes = column.fill_null(Path(self._path).name).combine_chunks().dictionary_encode()
        return _array(codes.indices), codes.dictionary.to_pylist()

    def _column(self, name: str, dtype: type[np.generic]) -> np.ndarray:
        parts = [_array(batch[name]) for batch in self._batches]
        column = np.concatenate(parts).astype(dtype) if parts else np.zeros(0, dtype)
        column.setflags(write=False)
        return column


def _array(column: pa.Array) -> np.ndarray:
    """Return numbers, of which none is missing, without a copy; Arrow's own way to numpy imports pandas."""
    return np.from_dlpack(column)
