"""Columns of a ladder with those that a run has learned: a new file, the other columns as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from observer.curriculum import LadderIndex
from observer.data.checks.cache import file_digest
from observer.data.formats.ladder import (
    COLUMNS,
    LEARNED,
    LEARNED_DIFFICULTY,
    MANIFEST,
    columns_of,
    refuse_changed,
)
from observer.data.rows import Rows
from observer.ladder.output.parquet import BLOCK
from observer.ladder.provenance import versions
from observer.refusal import printable, shown
from observer.run.files import whole_file, write_json
from observer.types import RefusedError

NEW = {
    "learned_visits": pa.int32(),
    "learned_success": pa.float64(),
    "learned_last_success": pa.float64(),
    "learned_last_step": pa.int32(),
    LEARNED_DIFFICULTY: pa.float64(),
}
"""Visits in the run; the share of right completions over all of them, and in the last one; the rollout of
that, from 0; the difficulty now, by ``LadderIndex.estimates``. All but the first are null without a visit."""
LEARNED_FROM = b"observer.learned"
"""The key of the file's metadata that says what they were learned by, as JSON."""


def write_learned(
    folder: Path, rows: Rows, index: LadderIndex, prior_visits: float, provenance: Mapping[str, Any]
) -> tuple[Path, int, int]:
    """Write ``learned.parquet`` beside the columns of a ladder, and its digest into the manifest.

    One that is there is replaced. Rows are the same by their id, question and gold answer.

    Args:
        folder: of the ladder.
        rows: of the run.
        index: with the visits of the run.
        prior_visits: visits that the difficulty before the run counts for.
        provenance: of the run, builtins.

    Returns:
        The file, how many rows of the ladder were visited, and how many visited rows it does not have.

    Raises:
        RefusedError: the ladder is not as it was built, a row of the run is another one there, or none of
            those that were visited is there.
    """
    manifest = refuse_changed(folder / COLUMNS)
    columns_of(folder / COLUMNS)
    visited = _visited(rows, index, prior_visits)
    total = len(visited)
    with pq.ParquetFile(folder / COLUMNS) as ladder:
        old = ladder.schema_arrow
        text = json.dumps({**provenance, "versions": versions()}, sort_keys=True).encode()
        metadata = {**(old.metadata or {}), LEARNED_FROM: text}
        schema = pa.schema([*old, *(pa.field(name, kind) for name, kind in NEW.items())], metadata=metadata)
        with (
            whole_file(folder / LEARNED, "wb") as file,
            pq.ParquetWriter(file, schema, compression="zstd") as out,
        ):
            for batch in ladder.iter_batches(BLOCK, use_threads=False):
                out.write_batch(_joined(batch, rows, visited, schema))
            if total and len(visited) == total:
                raise RefusedError(
                    f"none of the {total:,} rows that the run has visited is in {printable(folder)}; name "
                    f"the ladder that it was trained on"
                )
    manifest["files"][LEARNED] = file_digest(folder / LEARNED)
    write_json(folder / MANIFEST, manifest)
    return folder / LEARNED, total - len(visited), len(visited)


def _visited(rows: Rows, index: LadderIndex, prior_visits: float) -> dict[str, tuple[int, dict[str, Any]]]:
    """Return id -> row of the run and its new columns."""
    found = index.estimates(prior_visits)
    means_N = index.seen[2]
    numbers = found.rows_N.tolist()
    values = zip(
        found.visits_N.tolist(),
        means_N.tolist(),
        index.last_pass_rate_R[found.rows_N].tolist(),
        index.last_step_R[found.rows_N].tolist(),
        found.difficulty_N.tolist(),
        strict=True,
    )
    return {
        rows[row].id: (row, dict(zip(NEW, its, strict=True)))
        for row, its in zip(numbers, values, strict=True)
    }


def _joined(
    batch: pa.RecordBatch, rows: Rows, visited: dict[str, tuple[int, dict[str, Any]]], schema: pa.Schema
) -> pa.RecordBatch:
    """Return rows of a ladder with the new columns; those that were visited are taken out of ``visited``."""
    records = list(_records(batch, rows, visited))
    new = [pa.array([record.get(name) for record in records], kind) for name, kind in NEW.items()]
    return pa.RecordBatch.from_arrays([*batch.columns, *new], schema=schema)


def _records(
    batch: pa.RecordBatch, rows: Rows, visited: dict[str, tuple[int, dict[str, Any]]]
) -> Iterator[dict[str, Any]]:
    its = zip(*(batch[name].to_pylist() for name in ("id", "question", "answer")), strict=True)
    for name, question, answer in its:
        if name not in visited:
            yield {"learned_visits": 0}
            continue
        row, record = visited.pop(name)
        if (rows[row].question, rows[row].answer) != (question, answer):
            raise RefusedError(
                f"row {shown(name)} of the run asks {shown(rows[row].question)} and its answer is "
                f"{shown(rows[row].answer)}, in the ladder it asks {shown(question)} and is answered by "
                f"{shown(answer)}; name the ladder that the run was trained on"
            )
        yield record
