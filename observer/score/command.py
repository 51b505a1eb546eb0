"""The command: reads, checks, scores, writes and sums up, a batch at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from pathlib import Path
from typing import IO

from rich.console import Console

from observer.run.files import whole_file
from observer.run_cli import quieten
from observer.score.audit import Audit
from observer.score.recipe import read_job
from observer.score.rows import Row, read_rows, survey
from observer.score.table import Tally, draw
from observer.score.worth import Counter, experiences, records
from observer.types import RefusedError
from observer.verifier import Limits

BATCH = 256
"""Completions that are scored at a time, at most: memory does not grow with the file."""


def score_file(learner: type, words: list[str]) -> None:
    """Score the completions of a file and print what came out.

    Args:
        learner: the class that ``model`` configures.
        words: the command line, without the command.

    Raises:
        RefusedError: an option, the file or one of its rows is refused; then nothing is written.
    """
    quieten()
    job = read_job(learner, words)
    disagreements = job.output.with_suffix(f".audit{job.output.suffix}")
    for path in (job.output, disagreements) if job.audit else (job.output,):
        if os.path.lexists(path):
            raise RefusedError(f"--output {job.output}: {path} exists; name a file that does not")
    tally = Tally(job.recipe.rubric.rewards)
    with (
        closing(job.recipe.rubric.verifier),
        _output(job.output) as scored,
        _output(disagreements) if job.audit else nullcontext() as objections,
    ):
        audit = Audit(objections) if objections is not None else None
        found = survey(job.input, job.recipe.rubric.verifier)
        counter = Counter(job.recipe.policy, found.uncounted)
        for rows in _batches(read_rows(job.input), _batch_size(job.recipe.rubric.verifier.limits)):
            for experience in experiences(job.recipe, counter.groups(rows)):
                for record in records(experience, job.recipe.advantage_clip):
                    scored.write(json.dumps(record, ensure_ascii=False) + "\n")
                tally.add(experience)
                if audit is not None:
                    audit.add(experience)
    console = Console()
    console.print(*draw(tally))
    if audit is not None:
        console.print(audit.summary())
        console.print(str(disagreements), markup=False, highlight=False, soft_wrap=True)
    console.print(str(job.output), markup=False, highlight=False, soft_wrap=True)


def _batch_size(limits: Limits) -> int:
    """Return how many completions can be checked before the deadline, even when each takes its time.

    A slow answer must not make its neighbours unverifiable.
    """
    return max(1, min(BATCH, int(limits.workers * limits.batch_seconds / (2 * limits.seconds))))


def _batches(rows: Iterable[Row], completions: int) -> Iterator[list[Row]]:
    """Yield rows that have so many completions together, or hardly more."""
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
    """Write a file that is there when it is whole; refuse one that cannot be written."""
    with ExitStack() as stack:
        try:
            file = stack.enter_context(whole_file(path))
        except OSError as error:
            raise RefusedError(
                f"--output {path} cannot be written ({error.strerror}); name a file in a folder of yours"
            ) from error
        yield file
