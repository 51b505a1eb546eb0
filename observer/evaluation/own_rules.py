"""Reads what benchmarks' own rules go by from finished chunks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from observer.evaluation.outcomes import rows_of
from observer.evaluation.scoring.base import Answered
from observer.types import Verdict


def answered_in(paths: Iterable[Path]) -> Iterator[Answered]:
    """Yield the rows of finished chunks that could be asked, without their texts."""
    columns = ("id", "metadata", "kind", "answer", "options", "cluster", "greedy")
    for record in rows_of(paths, columns):
        if (greedy := record["greedy"]) is None:
            continue
        yield Answered(
            id=record["id"],
            metadata=json.loads(record["metadata"]),
            kind=record["kind"],
            answer=record["answer"],
            options=tuple(record["options"]),
            extracted=greedy["extracted"],
            correct=greedy["verdict"] == Verdict.CORRECT,
            cluster=record["cluster"],
        )
