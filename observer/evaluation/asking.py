"""Asks a model the rows of a benchmark, chunk by chunk; what is finished is never asked again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from observer.data.fingerprints import digest, pictures_digest, text_number
from observer.data.rows import Rows
from observer.evaluation.extractors import EXTRACTORS
from observer.evaluation.recipe import Evaluation
from observer.ladder.chunks import ChunkFolder
from observer.ladder.measured import ROW, write_columns
from observer.ladder.progress import Shown, finish
from observer.ladder.provenance import stated, versions
from observer.metrics.chains import CHAINS, chains
from observer.seeding import stable_seed
from observer.types import Completion, Problem, RefusedError, Sampling, Score
from observer.verifier import Question

if TYPE_CHECKING:
    from observer.answering import Answerer

RESPONSE = {
    "text": pa.string(),
    "extracted": pa.string(),
    "verdict": pa.string(),
    "reason": pa.string(),
    "formatted": pa.bool_(),
    "tokens": pa.int32(),
    "finish_reason": pa.string(),
}
"""A response and what was found of it."""
CHAIN = dict.fromkeys(CHAINS, pa.float64())
"""What is found of its chain of thought, null where it does not apply; see ``Chain``."""
COLUMNS = {
    ROW: pa.int64(),
    "id": pa.string(),
    "place": pa.string(),
    "source": pa.string(),
    "subject": pa.string(),
    "level": pa.int32(),
    "kind": pa.string(),
    "metadata": pa.string(),
    "question": pa.string(),
    "answer": pa.string(),
    "options": pa.list_(pa.string()),
    "pictures": pa.int32(),
    "cluster": pa.string(),
    "fault": pa.string(),
    "greedy": pa.struct({**RESPONSE, **dict.fromkeys(EXTRACTORS, pa.string()), "chain": pa.struct(CHAIN)}),
    "samples": pa.list_(pa.struct(RESPONSE)),
}
"""What is kept of a row. ``cluster``: rows that show the same pictures have the same one. ``fault``: why the
row could not be asked, such as a prompt that is too long; "" if it was. ``greedy`` has the verdict by each
extractor too, null where it finds no answer."""
SCHEMA = pa.schema(COLUMNS)


class Examination:
    """The rows of a benchmark before a model.

    Args:
        evaluation: how it is asked.
        name: of the benchmark.
        rows: its rows.
        folder: of its chunks.
    """

    def __init__(self, evaluation: Evaluation, name: str, rows: Rows, folder: Path) -> None:
        self.rows = rows
        self.scoring = evaluation.benchmarks[name].scoring
        self.count = min(len(rows), evaluation.limit or len(rows))
        self._evaluation, self._name, self.chunk_rows = evaluation, name, evaluation.chunk_rows
        self.chunks = ChunkFolder(folder, self.count, evaluation.chunk_rows)

    def claim(self) -> None:
        """Say what the folder's answers depend on.

        Raises:
            RefusedError: it holds answers that were drawn otherwise.
        """
        self.chunks.claim(self.made)

    @cached_property
    def made(self) -> dict[str, Any]:
        """What the answers depend on, as builtins; makes a fingerprint of every row."""
        asked, benchmark = self._evaluation, self._evaluation.benchmarks[self._name]
        names = ("response_format", "responses", "max_tokens", "temperature", "seed", "chunk_rows", "model")
        return {
            "benchmark": {"rows": stated(benchmark.rows), "subject": benchmark.subject, "count": self.count},
            "digest": digest(self.rows.fingerprints()[: self.count]),
            **{name: stated(getattr(asked, name)) for name in names},
            "versions": versions(),
        }

    @property
    def missing(self) -> list[int]:
        """The chunks that are not finished."""
        return self.chunks.missing(range(len(self.chunks)))

    def run(self, answerer: Answerer, shown: Shown, stopped: Callable[[], bool]) -> None:
        """Ask what is missing.

        Raises:
            KeyboardInterrupt: it was stopped; what is finished is kept.
        """
        finish(
            self._name,
            self.chunks,
            len(self.chunks),
            self.missing,
            partial(self._ask, answerer),
            shown,
            stopped,
        )

    def _ask(self, answerer: Answerer, chunk: int) -> int:
        """Ask the rows of a chunk and write its file; return the tokens that were drawn."""
        span = self.chunks.range(chunk)
        records = self.answered([self.rows[row] for row in span], answerer)
        numbered = [{ROW: row, **each} for row, each in zip(span, records, strict=True)]
        write_columns(self.chunks.file(chunk), SCHEMA, pa.RecordBatch.from_pylist(numbered, SCHEMA))
        return tokens_of(records)

    def answered(self, problems: Sequence[Problem], answerer: Answerer) -> list[dict[str, Any]]:
        """Ask some of the rows; return what is kept of each, without its number."""
        faults = [_fault(problem, answerer) for problem in problems]
        asked = [problem for problem, fault in zip(problems, faults, strict=True) if not fault]
        greedy, *samples = answerer.answer(asked, *self._samplings())
        drawn = {
            problem.id: (
                list(zip(greedy.groups[at].completions, greedy.scores[at], strict=True)),
                [
                    pair
                    for one in samples
                    for pair in zip(one.groups[at].completions, one.scores[at], strict=True)
                ],
            )
            for at, problem in enumerate(asked)
        }
        found = iter(self._extracted(asked, [drawn[problem.id][0][0][0] for problem in asked], answerer))
        chain = iter(chains(greedy.groups, greedy.scores, answerer.rubric.verifier))
        records = []
        for problem, fault in zip(problems, faults, strict=True):
            first, others = drawn.get(problem.id, ([], []))
            record = self._about(problem) | {"fault": fault, "greedy": None}
            if first:
                record["greedy"] = _response(*first[0]) | next(found) | {"chain": next(chain)[0]._asdict()}
            records.append(record | {"samples": [_response(*pair) for pair in others]})
        return records

    @property
    def greedy_sampling(self) -> Sampling:
        """How each row is asked once."""
        asked = self._evaluation
        seed = stable_seed(asked.seed, "evaluation", self._name)
        return Sampling(1, asked.max_tokens, temperature=0.0, seed=seed, step=-1)

    def _samplings(self) -> list[Sampling]:
        asked, found = self._evaluation, [self.greedy_sampling]
        seed = found[0].seed
        if asked.responses:
            found.append(
                Sampling(asked.responses, asked.max_tokens, temperature=asked.temperature, seed=seed, step=-2)
            )
        return found

    def _extracted(
        self, problems: Sequence[Problem], completions: Sequence[Completion], answerer: Answerer
    ) -> Iterable[dict[str, str | None]]:
        """Return extractor -> verdict for each of some completions; None where it finds no answer."""
        questions = [
            Question(problem.kind, problem.answer, extract(completion.text, problem.kind), problem.options)
            for problem, completion in zip(problems, completions, strict=True)
            for extract in EXTRACTORS.values()
        ]
        results = answerer.rubric.verifier.verify_all(questions)
        verdicts = iter(
            None if question.prediction is None else str(result.verdict)
            for question, result in zip(questions, results, strict=True)
        )
        return [{name: next(verdicts) for name in EXTRACTORS} for _ in problems]

    def _about(self, problem: Problem) -> dict[str, Any]:
        subject = self._evaluation.benchmarks[self._name].subject
        return {
            "id": problem.id,
            "place": problem.source,
            "source": self.rows.source_name(problem.row),
            "subject": str(problem.metadata.get(subject, "")) if subject else "",
            "level": problem.level,
            "kind": problem.kind,
            "metadata": json.dumps(dict(problem.metadata), sort_keys=True, default=str),
            "question": problem.question,
            "answer": problem.answer,
            "options": list(problem.options),
            "pictures": len(problem.pictures),
            "cluster": pictures_digest(problem)
            if problem.pictures
            else f"text {text_number([turn.text for turn in problem.turns])}",
        }


def tokens_of(records: Sequence[dict[str, Any]]) -> int:
    """Return the tokens that were drawn for what is kept of some rows."""
    return sum(one["tokens"] for each in records for one in (each["greedy"], *each["samples"]) if one)


def _fault(problem: Problem, answerer: Answerer) -> str:
    """Return why a problem cannot be asked; "" if it can."""
    try:
        answerer.renderer.check(problem)
    except RefusedError as error:
        return str(error)
    return ""


def _response(completion: Completion, score: Score) -> dict[str, Any]:
    return {
        "text": completion.text,
        "extracted": score.extracted,
        "verdict": str(score.verdict),
        "reason": score.reason,
        "formatted": score.formatted,
        "tokens": len(completion.ids),
        "finish_reason": completion.finish_reason,
    }
