"""Evaluates a model in a folder: asks what is missing, then writes answers, scores and rows to look at."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from observer.data.checks.cache import file_digest
from observer.evaluation.asking import SCHEMA, Examination
from observer.evaluation.audit.auditing import AUDIT, AUDIT_SCHEMA, Auditing, audit_scores
from observer.evaluation.extractors import EXTRACTORS
from observer.evaluation.leaks import Leak, find, near_ones_too, told
from observer.evaluation.outcomes import ANSWERS, SCORES, Outcomes, read_outcomes, rows_of
from observer.evaluation.own_rules import answered_in
from observer.evaluation.recipe import Evaluation
from observer.evaluation.scores import scores
from observer.evaluation.scoring import Scoring
from observer.ladder.asker import opened
from observer.ladder.interrupting import finishing
from observer.ladder.progress import Shown
from observer.refusal import shown as named
from observer.run.files import remove_unfinished, whole_file, write_json
from observer.run.locks import only_one
from observer.types import RefusedError, Verdict

WORK, DISAGREE = "work", "disagreements.jsonl"
"""Of an evaluation's folder: finished chunks, and the rows on which the extractors disagree."""


def evaluate(evaluation: Evaluation, folder: Path, shown: Shown | None = None) -> dict[str, Any]:
    """Evaluate a model; what an earlier evaluation of the same has finished is not asked again.

    Args:
        evaluation: what is evaluated.
        folder: made where it does not exist.
        shown: where progress goes.

    Returns:
        What ``scores.json`` holds.

    Raises:
        RefusedError: the rows, the model or an option is refused, or the folder holds something else.
        KeyboardInterrupt: it was stopped between two chunks.
    """
    shown = shown or Shown()
    with _alone(folder), finishing() as stopped:
        exams = {
            name: Examination(evaluation, name, benchmark.asked(), folder / WORK / name)
            for name, benchmark in evaluation.benchmarks.items()
        }
        for exam in exams.values():
            exam.claim()
        rows = {name: exam.rows for name, exam in exams.items()}
        leaks = find(rows, evaluation.train) if evaluation.train else None
        for name, found in (leaks or {}).items():
            shown.say(f"{name}: {len(found):,} of {len(rows[name]):,} rows are in the training data")
        audits = {
            name: Auditing(evaluation.audit, name, exam, folder / WORK / f"{name} {AUDIT}")
            for name, exam in exams.items()
            if evaluation.audit
        }
        asked: list[Examination | Auditing] = [*exams.values(), *audits.values()]
        if any(one.missing for one in asked):
            # An audit goes on from the beginning of a response, which is as long as one at most.
            most = evaluation.max_tokens * (2 if audits else 1)
            answerer = opened(evaluation.model, evaluation.response_format, most)
            try:
                for one in asked:
                    one.run(answerer, shown, stopped)
            finally:
                answerer.close()
        return write(exams, folder, leaks, audits)


def write(
    exams: dict[str, Examination],
    folder: Path,
    leaks: Mapping[str, Sequence[Leak]] | None = None,
    audits: Mapping[str, Auditing] = MappingProxyType({}),
) -> dict[str, Any]:
    """Write answers, scores and disagreements, from finished chunks alone; equal ones give equal files."""
    (folder / SCORES).unlink(missing_ok=True)
    (folder / ANSWERS).mkdir(exist_ok=True)
    found: dict[str, Any] = {"benchmarks": {}}
    with whole_file(folder / DISAGREE) as lines:
        for name, exam in exams.items():
            paths = [exam.chunks.file(chunk) for chunk in range(len(exam.chunks))]
            _write_answers(paths, folder / ANSWERS / f"{name}.parquet", SCHEMA, exam.made)
            outcomes = read_outcomes(paths)
            if not len(outcomes):
                place, row, why = outcomes.faults[0]
                raise RefusedError(
                    f"benchmarks: no row of {name} can be asked; the first, {named(row)} ({place}): {why}"
                )
            found["benchmarks"][name] = scores(outcomes) | {
                "made": exam.made,
                **_own(exam.scoring, paths),
                **({} if leaks is None else _leaked(outcomes, leaks[name])),
                "faults": [list(fault) for fault in outcomes.faults],
                "disagree": _disagreements(name, paths, lines),
            }
    for name, audit in audits.items():
        (folder / AUDIT).mkdir(exist_ok=True)
        _write_answers(audit.paths(), folder / AUDIT / f"{name}.parquet", AUDIT_SCHEMA, audit.made)
        found["benchmarks"][name]["audit"] = audit_scores(list(rows_of(audit.paths(), AUDIT_SCHEMA.names)))
    found["files"] = {
        str(path.relative_to(folder)): file_digest(path)
        for path in (
            *(folder / ANSWERS / f"{name}.parquet" for name in exams),
            *(folder / AUDIT / f"{name}.parquet" for name in audits),
            folder / DISAGREE,
        )
    }
    write_json(folder / SCORES, found)
    return found


def _own(scoring: Scoring | None, paths: list[Path]) -> dict[str, Any]:
    return {} if scoring is None else {"scoring": scoring.said(list(answered_in(paths)))}


def _leaked(outcomes: Outcomes, leaks: Sequence[Leak]) -> dict[str, Any]:
    """Return the leaks of a benchmark, and its scores without them."""
    rest = outcomes.without({leak.id for leak in leaks})
    said = {"near_ones_too": near_ones_too(), "rows": told(leaks)}
    return {"leaks": said, "without_leaks": scores(rest) if leaks and len(rest) else None}


def _write_answers(paths: list[Path], path: Path, schema: pa.Schema, made: dict[str, Any]) -> None:
    schema = schema.with_metadata({b"observer.provenance": json.dumps(made, sort_keys=True).encode()})
    with whole_file(path, "wb") as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for chunk in paths:
            with pa.memory_map(str(chunk)) as mapped:
                writer.write_batch(pa.ipc.open_file(mapped).get_batch(0))


def _disagreements(benchmark: str, paths: list[Path], lines: Any) -> int:
    """Write the rows whose greedy response is right by one extractor and not by another; return how many.

    An extractor that finds an answer in no response at all has no say, as boxes where none were asked for.
    """
    used = {
        name
        for each in rows_of(paths, ("greedy",))
        if each["greedy"]
        for name in EXTRACTORS
        if each["greedy"][name]
    }
    count = 0
    for record in rows_of(paths, ("id", "place", "kind", "question", "answer", "options", "greedy")):
        greedy = record["greedy"]
        verdicts = {name: greedy[name] for name in EXTRACTORS} if greedy else {}
        if len({verdicts[name] == Verdict.CORRECT for name in used & verdicts.keys()}) > 1:
            about = {name: record[name] for name in ("id", "place", "kind", "question", "options", "answer")}
            line = {"benchmark": benchmark, **about, "verdicts": verdicts, "text": greedy["text"]}
            lines.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    return count


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second evaluation out of a folder, and remove what a killed one has left half written."""
    work = folder / WORK
    with only_one(work, folder, "used"):
        for place in (folder, folder / ANSWERS, folder / AUDIT, *work.iterdir()):
            if place.is_dir():
                remove_unfinished(place)
        yield
