"""Reads a JSONL file of problems with completions. All of it is checked before any of it is scored.

A line is a row with its completions, or one completion as a run and ``observer predict`` keep it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from observer.data import Jsonl
from observer.data.checks.admission import faults_of_golds
from observer.data.fields import identity, parse_json
from observer.data.formats.jsonlines import decoded
from observer.data.misnamed import instead
from observer.data.rows import Skipped
from observer.refusal import shown
from observer.score.kept import Entry, gathered
from observer.types import Problem, RefusedError
from observer.verifier import Question, Verifier
from observer.verifier.notation import quote
from observer.verifier.verify import ISOLATED

OWN_FIELDS = frozenset({"completions", "lengths"})
"""Fields that a problem does not have; all others are those of the row format ``Jsonl``."""
MAX_TOKENS = 1_000_000
"""Tokens that a completion may claim to have."""
NAMED_BAD_ROWS = 10
"""Bad rows that one refusal names before it gives up."""
CHECKED_ROWS = 256
"""Rows whose gold answers are verified at a time."""


@dataclass(frozen=True, eq=False)
class Row:
    """A problem with completions."""

    line: int
    """Its line in the file, from 1."""
    problem: Problem
    """Its ``row`` is its place in the file."""
    completions: tuple[str, ...]
    """At least one."""
    lengths: tuple[int, ...] | None
    """Tokens of each completion; None when they have to be counted."""
    ends: tuple[str, ...] | None = None
    """How each completion ended, ``stop`` or ``length``; None where the file does not say: they ended."""


@dataclass(frozen=True)
class Survey:
    """The contents of a file."""

    rows: int
    completions: int
    uncounted: str | None
    """File, line and id of the first row without ``lengths``; None when all have them."""


def survey(path: Path, verifier: Verifier) -> Survey:
    """Check every row of a file, its gold answer with it.

    Args:
        path: the file.
        verifier: checks the gold answers.

    Raises:
        RefusedError: the file cannot be read, holds no row or holds bad ones; names the first ten.
    """
    bad: list[Skipped] = []
    rows = completions = 0
    uncounted = None
    for batch in _batches(_read(path), CHECKED_ROWS):
        good = [entry for entry in batch if isinstance(entry, Row)]
        bad += [entry for entry in batch if isinstance(entry, Skipped)]
        bad += _unverifiable(good, path, verifier)
        if len(bad) >= NAMED_BAD_ROWS:
            raise _refused(path, bad[:NAMED_BAD_ROWS], " or more (reading stopped here)")
        rows += len(good)
        completions += sum(len(row.completions) for row in good)
        if uncounted is None:
            uncounted = next((_where(row) for row in good if row.lengths is None), None)
    if bad:
        raise _refused(path, bad, "")
    if not rows:
        raise RefusedError(f"--input {path} holds no row; write one JSON object per line")
    return Survey(rows, completions, uncounted)


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file that has been surveyed.

    Raises:
        RefusedError: the file is not what it was.
    """
    for entry in _read(path):
        if isinstance(entry, Skipped):
            raise RefusedError(f"{entry} (--input {path} was changed while it was read; score it again)")
        yield entry


def _read(path: Path) -> Iterator[Row | Skipped]:
    """Yield each row, or what is wrong with it; gold answers of isolated kinds are not verified yet."""
    seen: dict[str, int] = {}
    form, count = Jsonl(str(path)), 0
    for line, record, ends in gathered(_parsed(path)):
        default = name = f"{path.name}:{line}"
        try:
            if isinstance(record, RefusedError):
                raise record
            if isinstance(record, dict):
                name = identity(record, default)
            row = replace(_row(form, record, line, default), ends=ends)
            # A run draws its rows more than once.
            if ends is None and (first := seen.setdefault(name, line)) != line:
                raise RefusedError(f"its id is taken by line {first}; give each row its own")
        except RefusedError as error:
            yield Skipped(str(path), line, name, str(error))
        else:
            yield replace(row, problem=replace(row.problem, row=count, source=f"{path}:{line}"))
            count += 1


def _parsed(path: Path) -> Iterator[Entry]:
    for line, raw in _lines(path):
        try:
            yield Entry(line, parse_json(decoded(raw)))
        except RefusedError as error:
            yield Entry(line, error)


def _batches(entries: Iterator[Row | Skipped], size: int) -> Iterator[list[Row | Skipped]]:
    while batch := list(islice(entries, size)):
        yield batch


def _row(form: Jsonl, record: object, line: int, default: str) -> Row:
    if not isinstance(record, dict):
        raise RefusedError(f"is {shown(record)}; write a JSON object")
    completions = _completions(record)
    lengths = _lengths(record, len(completions))
    problem = form.problem({key: record[key] for key in record.keys() - OWN_FIELDS}, default)
    return Row(line, problem, completions, lengths)


def _completions(record: Mapping[str, Any]) -> tuple[str, ...]:
    if "completions" not in record:
        raise RefusedError(
            "has no completions; add the field `completions`, a list of texts"
            + instead(record, "completions")
        )
    value = record["completions"]
    if not isinstance(value, list) or not value:
        raise RefusedError(f"completions is {shown(value)}; write a list of at least one text")
    for place, text in enumerate(value):
        if not isinstance(text, str):
            raise RefusedError(f"completions[{place}] is {shown(text)} ({type(text).__name__}); write a text")
    return tuple(value)


def _lengths(record: Mapping[str, Any], count: int) -> tuple[int, ...] | None:
    if "lengths" not in record:
        return None
    value = record["lengths"]
    if not isinstance(value, list):
        raise RefusedError(f"lengths is {shown(value)}; write a list of whole numbers, or leave it out")
    if len(value) != count:
        raise RefusedError(f"lengths holds {len(value)} numbers for {count} completions; write one for each")
    for place, length in enumerate(value):
        if isinstance(length, bool) or not isinstance(length, int) or not 0 <= length <= MAX_TOKENS:
            raise RefusedError(
                f"lengths[{place}] is {shown(length)}; write a whole number from 0 to {MAX_TOKENS:,}"
            )
    return tuple(value)


def _unverifiable(rows: Iterable[Row], path: Path, verifier: Verifier) -> list[Skipped]:
    """Return the rows whose gold answer cannot be checked: every completion would be unverifiable."""
    golds = {row: _gold(row.problem) for row in rows if row.problem.kind in ISOLATED}
    faults = faults_of_golds(list(dict.fromkeys(golds.values())), verifier)
    return [
        Skipped(
            *(str(path), row.line, row.problem.id),
            f"no rule can check the answer {quote(gold.gold)} (kind {gold.kind}): {faults[gold].reason}; "
            "correct the answer or its kind, or drop the row",
        )
        for row, gold in golds.items()
        if gold in faults
    ]


def _gold(problem: Problem) -> Question:
    return Question(problem.kind, problem.answer, problem.answer, problem.options)


def _refused(path: Path, bad: list[Skipped], more: str) -> RefusedError:
    count = f"{len(bad)} bad row{'s' if len(bad) > 1 else ''}{more}"
    listed = "".join(f"\n  {row}" for row in sorted(bad, key=lambda row: row.line))
    return RefusedError(f"--input {path} holds {count}; mend or remove them{listed}")


def _where(row: Row) -> str:
    return f"{row.problem.source}: row {shown(row.problem.id)}"


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield (line number from 1, line) of the lines that are not blank."""
    if not path.is_file():
        raise RefusedError(f"--input {path}: there is no such file ({path.absolute()}); name a JSONL file")
    try:
        with path.open("rb") as file:
            for line, raw in enumerate(file, start=1):
                if raw := raw.strip():
                    yield line, raw
    except OSError as error:
        raise RefusedError(
            f"--input {path} cannot be read ({error.strerror}); name a file that you may read"
        ) from error
