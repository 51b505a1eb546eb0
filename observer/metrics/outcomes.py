"""Outcomes per problem: one row for each held-out completion, and the file that statistics read them from.

Means over held-out problems say how good a model was; intervals and paired differences need to know which
problem was answered how. What is computed from the rows is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from observer.run.files import whole_file
from observer.types import RefusedError, ScoredGroups

FILE = "heldout.parquet"
"""The file of a run directory: the outcomes of its last evaluation."""
BEFORE = "heldout_before.parquet"
"""The same before training."""
OUTCOMES = pa.schema(
    [
        ("id", pa.string()),  # of the problem
        ("picture", pa.string()),  # a digest of the decoded pixels of its pictures, "" without one
        ("level", pa.int64()),
        ("kind", pa.string()),  # how its answer is checked
        ("source", pa.string()),  # the name of its source
        ("mode", pa.string()),  # how it was asked: "greedy", "sampled", ..
        ("sample", pa.int64()),  # which of its completions in this mode, from 0
        ("verdict", pa.string()),  # of observer.types.Verdict
        ("formatted", pa.bool_()),
        ("length", pa.int64()),  # tokens
        ("truncated", pa.bool_()),  # cut at the limit
        ("text", pa.string()),
    ]
)
"""The columns of a file of outcomes, in their order."""
GROUP_ROWS = 65_536
"""Rows that are written and compressed together."""


class Outcome(NamedTuple):
    """One completion of a held-out problem: what it is sorted by, then the columns of ``OUTCOMES``."""

    key: tuple[str, int, int]
    """Mode, row of the problem, sample."""
    values: tuple[str | int | bool, ...]
    """In the order of ``OUTCOMES``."""


class Outcomes:
    """The outcomes of one evaluation, gathered batch by batch."""

    def __init__(self, source_name: Callable[[int], str]) -> None:
        """Start without any.

        Args:
            source_name: row of a problem -> the name of its source.
        """
        self._source_name = source_name
        self.gathered: list[Outcome] = []
        """Those of this rank, in the order in which they were added."""

    def add(self, mode: str, scored: ScoredGroups, pictures: Sequence[str]) -> None:
        """Add scored completions.

        Args:
            mode: how the problems were asked.
            scored: a group per problem.
            pictures: of each problem, ``observer.data.fingerprints.pictures_digest``.
        """
        for group, scores, picture in zip(scored.groups, scored.scores, pictures, strict=True):
            problem = group.problem
            source = self._source_name(problem.row)
            name, kind, source = map(_readable, (problem.id, problem.kind, source))
            for completion, score in zip(group.completions, scores, strict=True):
                length, truncated = len(completion.ids), not completion.finished
                asked = (name, picture, problem.level, kind, source, mode, completion.index)
                said = (score.verdict.value, score.formatted, length, truncated, _readable(completion.text))
                self.gathered.append(Outcome((mode, problem.row, completion.index), (*asked, *said)))


def outcome_table(outcomes: Iterable[Outcome]) -> pa.Table:
    """Return a table of ``OUTCOMES``, sorted by mode, row of the problem and sample.

    Args:
        outcomes: of all ranks, each of which has answered other problems.
    """
    ordered, batches = sorted(outcomes, key=lambda outcome: outcome.key), []
    for start in range(0, len(ordered), GROUP_ROWS):
        rows = [outcome.values for outcome in ordered[start : start + GROUP_ROWS]]
        batches.append(pa.record_batch(list(map(list, zip(*rows, strict=True))), schema=OUTCOMES))
    return pa.Table.from_batches(batches, schema=OUTCOMES)


def write_outcomes(path: str | Path, table: pa.Table) -> None:
    """Replace a file of outcomes in one go; equal tables make files of equal bytes.

    Args:
        path: of the file.
        table: of ``OUTCOMES``.

    Raises:
        RefusedError: the table has other columns.
        WriteError: it cannot be written.
    """
    _refuse_other_columns("the table", table.schema)
    with (
        whole_file(Path(path), "wb") as file,
        pq.ParquetWriter(file, OUTCOMES, compression="zstd") as writer,
    ):
        for start in range(0, table.num_rows, GROUP_ROWS):  # so that chunks of a table change no byte
            writer.write_table(table.slice(start, GROUP_ROWS).combine_chunks(), GROUP_ROWS)


def read_outcomes(path: str | Path) -> pa.Table:
    """Read a file of outcomes.

    Args:
        path: of the file, such as ``runs/mine/heldout.parquet``.

    Raises:
        RefusedError: it is not there, is damaged, or has other columns.
    """
    try:
        with Path(path).open("rb") as file, pq.ParquetFile(file) as parquet:
            _refuse_other_columns(str(path), parquet.schema_arrow)
            return parquet.read()
    except FileNotFoundError as error:
        raise RefusedError(f"{path} is not there; a run with data.test writes it when it ends") from error
    except (OSError, pa.ArrowException) as error:
        raise RefusedError(f"{path} cannot be read as a file of outcomes: {error}") from error


def _refuse_other_columns(name: str, schema: pa.Schema) -> None:
    """Refuse columns that are not those of ``OUTCOMES``, with the first that differs."""
    for column in OUTCOMES:
        there = schema.names.count(column.name)
        if there != 1:
            raise RefusedError(f"{name} has {there} columns {column.name!r}, not 1 as files of outcomes have")
        if schema.field(column.name).type != column.type:
            found = schema.field(column.name).type
            raise RefusedError(f"{name} has {column.name!r} as {found}, not as {column.type}")
    if schema.names != OUTCOMES.names:
        raise RefusedError(
            f"{name} has the columns {', '.join(schema.names)}; those of outcomes are "
            f"{', '.join(OUTCOMES.names)}"
        )


def _readable(text: str) -> str:
    """Return a text that can be written: half of a surrogate pair is no UTF-8, so it becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode()
