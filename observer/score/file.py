"""Scores a file of completions: all rows are checked first, then scored and written a batch at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import IO

from observer.run.files import refuse_output, whole_file
from observer.score.audit import Audit
from observer.score.rows import Row, read_rows, survey
from observer.score.table import Tally
from observer.score.worth import Counter, Recipe, experiences, records
from observer.types import RefusedError

BATCH = 256
"""Completions that are scored at a time, at most: memory does not grow with the file."""


def score_file(
    recipe: Recipe, input: str | Path, output: str | Path, audit: bool = False
) -> tuple[Tally, Audit | None]:
    """Score the completions of a file as a training step with this recipe would.

    Args:
        recipe: rewards, normalisation and weighting. Its verifier stays open: whoever made it closes it.
        input: JSONL rows with completions; see ``observer.score.rows``.
        output: the JSONL file to write, one line per completion; must not exist.
        audit: whether verdicts are compared with those of a second checker, and the differences written to
            ``audit_path(output)``.

    Returns:
        The sums over all completions, and the audit if there is one.

    Raises:
        RefusedError: a file or one of the rows is refused; then nothing is written.
    """
    input, output = Path(input), Path(output)
    for path in (output, audit_path(output)) if audit else (output,):
        refuse_output(path)
    verifier, tally = recipe.rubric.verifier, Tally(recipe.rubric.rewards)
    with (
        _output(output) as scored,
        _output(audit_path(output)) if audit else nullcontext() as objections,
    ):
        auditor = Audit(objections) if objections is not None else None
        found = survey(input, verifier)
        counter = Counter(recipe.policy, found.uncounted)
        # A slow answer must not make its neighbours unverifiable.
        for rows in _batches(read_rows(input), min(BATCH, verifier.limits.answers_in_time)):
            for experience in experiences(recipe, counter.groups(rows)):
                for record in records(experience, recipe.advantage_clip):
                    scored.write(json.dumps(record, ensure_ascii=False) + "\n")
                tally.add(experience)
                if auditor is not None:
                    auditor.add(experience)
    return tally, auditor


def audit_path(output: Path) -> Path:
    """Return where the disagreements of an audit are written: beside the output.

    >>> audit_path(Path("scored.jsonl")).name
    'scored.audit.jsonl'
    """
    return output.with_suffix(f".audit{output.suffix}")


def _batches(rows: Iterable[Row], completions: int) -> Iterator[list[Row]]:
    """Yield rows that have this many completions together, or hardly more."""
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row.completions)
        if size >= completions:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@contextmanager
def _output(path: Path) -> Iterator[IO[str]]:
    """Write a file that appears when it is whole; refuse one that cannot be written."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(whole_file(path))
        except OSError as error:
            raise RefusedError(
                f"--output {path} cannot be written ({error.strerror}); name a file in a folder of yours"
            ) from error
        yield file
