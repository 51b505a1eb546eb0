"""Evaluates a model in a folder: asks what is missing, then writes answers, scores and rows to look at."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from observer.data.checks.cache import file_digest
from observer.evaluation.asking import SCHEMA, Examination
from observer.evaluation.extractors import EXTRACTORS
from observer.evaluation.outcomes import ANSWERS, SCORES, read_outcomes, rows_of
from observer.evaluation.recipe import Evaluation
from observer.evaluation.scores import scores
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
            name: Examination(evaluation, name, benchmark.rows.read(), folder / WORK / name)
            for name, benchmark in evaluation.benchmarks.items()
        }
        if any(exam.missing for exam in exams.values()):
            answerer = opened(evaluation.model, evaluation.response_format, evaluation.max_tokens)
            try:
                for exam in exams.values():
                    exam.run(answerer, shown, stopped)
            finally:
                answerer.close()
        return write(exams, folder)


def write(exams: dict[str, Examination], folder: Path) -> dict[str, Any]:
    """Write answers, scores and disagreements, from finished chunks alone; equal ones give equal files."""
    (folder / SCORES).unlink(missing_ok=True)
    (folder / ANSWERS).mkdir(exist_ok=True)
    found: dict[str, Any] = {"benchmarks": {}}
    with whole_file(folder / DISAGREE) as lines:
        for name, exam in exams.items():
            paths = [exam.chunks.file(chunk) for chunk in range(len(exam.chunks))]
            _write_answers(paths, folder / ANSWERS / f"{name}.parquet", exam.made())
            outcomes = read_outcomes(paths)
            if not len(outcomes):
                place, row, why = outcomes.faults[0]
                raise RefusedError(
                    f"benchmarks: no row of {name} can be asked; the first, {named(row)} ({place}): {why}"
                )
            found["benchmarks"][name] = scores(outcomes) | {
                "made": exam.made(),
                "faults": [list(fault) for fault in outcomes.faults],
                "disagree": _disagreements(name, paths, lines),
            }
    found["files"] = {
        str(path.relative_to(folder)): file_digest(path)
        for path in (*(folder / ANSWERS / f"{name}.parquet" for name in exams), folder / DISAGREE)
    }
    write_json(folder / SCORES, found)
    return found


def _write_answers(paths: list[Path], path: Path, made: dict[str, Any]) -> None:
    schema = SCHEMA.with_metadata({b"observer.provenance": json.dumps(made, sort_keys=True).encode()})
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
        for place in (folder, folder / ANSWERS, *work.iterdir()):
            if place.is_dir():
                remove_unfinished(place)
        yield
