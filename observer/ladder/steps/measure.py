"""Measures difficulty and complexity from N responses of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from observer.ladder.asked import AskedModel
from observer.ladder.asking import Ask, Asker, Responses
from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep, Values, keep
from observer.refusal import refuse_fields
from observer.rewards import Observe, ResponseFormat
from observer.types import Problem, Verdict

if TYPE_CHECKING:
    from observer.ladder.table import Table

SAMPLE = pa.struct(
    {
        "text": pa.string(),
        "extracted": pa.string(),
        "verdict": pa.string(),
        "tokens": pa.int32(),
        "finish_reason": pa.string(),
    }
)
"""One response, for people who review a row."""


@dataclass(frozen=True)
class Measure(BuildStep):
    """N responses per row: how hard it is, how long its solutions are, what else is answered.

    difficulty = 1 - correct / N, with Wilson's interval; complexity is the mean length of the responses in
    tokens. Answers are told apart by their text, case and blanks aside. Diversity is the number of different
    answers per answer.

    Reference: Observe-R1, arXiv 2505.12432: N = 8.

    Args:
        responses: N, per row.
        max_tokens: a response that has not ended by then is cut, and counts as ``truncated``.
        temperature: divides the logits; above 0, or all responses are equal.
        response_format: what a response must look like; also gives the system prompt.
        confidence: of the interval of the difficulty.
        model: the model that answers; null for the build's.
    """

    responses: int = 8
    max_tokens: int = 1024
    temperature: float = 1.0
    response_format: ResponseFormat = Observe()  # noqa: RUF009 - it is frozen
    confidence: float = 0.95
    model: AskedModel | None = None

    measures: ClassVar[Mapping[str, pa.DataType]] = {
        "responses": pa.int32(),
        "correct": pa.int32(),
        "undecided": pa.int32(),
        "formatted": pa.int32(),
        "truncated": pa.int32(),
        "difficulty": pa.float64(),
        "complexity": pa.float64(),
        "correct_length": pa.float64(),
        "diversity": pa.float64(),
        "other_answer": pa.string(),
        "other_count": pa.int32(),
        "fault": pa.string(),
        "samples": pa.list_(SAMPLE),
    }
    adds: ClassVar[tuple[str, ...]] = ("difficulty_low", "difficulty_high")
    asks: ClassVar[bool] = True
    by_row: ClassVar[bool] = True

    def __post_init__(self) -> None:
        refuse_fields(self, "responses", "max_tokens", least=1)
        refuse_fields(self, "temperature", above=0)
        refuse_fields(self, "confidence", least=0.5, most=0.9999)

    def measure(self, problems: Sequence[Problem], asker: Asker) -> Values:
        """Ask each problem N times."""
        ask = Ask(self.response_format, self.responses, self.max_tokens, self.temperature, "Measure")
        faults = asker.faults(problems, ask, self.model)
        asked = [problem for problem, fault in zip(problems, faults, strict=True) if not fault]
        answers = iter(asker.ask(asked, ask, self.model))
        records = [{"fault": fault} if fault else _figures(next(answers)) for fault in faults]
        return {name: [record.get(name) for record in records] for name in self.measures}

    def select(self, table: Table) -> Selection:
        """Keep the rows that could be asked, with the interval of their difficulty."""
        from observer.statistics import wilson  # its room needs scipy, which takes a moment

        asked_N = table.numbers("responses")
        good_N = ~np.isnan(asked_N)
        low_N, high_N = wilson(table.numbers("correct")[good_N], asked_N[good_N], self.confidence)
        kept = keep(table, good_N, lambda place: f"cannot be asked: {_fault(table, place)}")
        return Selection(
            kept.rows_N, kept.removed, {"difficulty_low": 1 - high_N, "difficulty_high": 1 - low_N}
        )


def _fault(table: Table, place: int) -> Any:
    return table.value("fault", int(table.rows_N[place])) or "it was not measured; build it without --part"


def _figures(responses: Responses) -> dict[str, Any]:
    """Return what N responses to a problem say of it."""
    count = len(responses)
    correct = [score.correct for _, score in responses]
    lengths = [len(completion.ids) for completion, _ in responses]
    right = [length for length, good in zip(lengths, correct, strict=True) if good]
    answers = [same(score.extracted) for _, score in responses if score.extracted is not None]
    other, times = most_frequent_other((score.extracted, score.verdict) for _, score in responses)
    return {
        "responses": count,
        "correct": sum(correct),
        "undecided": sum(score.verdict is Verdict.UNVERIFIABLE for _, score in responses),
        "formatted": sum(score.formatted for _, score in responses),
        "truncated": sum(not completion.finished for completion, _ in responses),
        "difficulty": 1 - sum(correct) / count,
        "complexity": sum(lengths) / count,
        "correct_length": sum(right) / len(right) if right else None,
        "diversity": len(set(answers)) / len(answers) if answers else None,
        "other_answer": other,
        "other_count": times,
        "fault": "",
        "samples": [
            {
                "text": completion.text,
                "extracted": score.extracted,
                "verdict": str(score.verdict),
                "tokens": len(completion.ids),
                "finish_reason": completion.finish_reason,
            }
            for completion, score in responses
        ],
    }


def most_frequent_other(answers: Iterable[tuple[str | None, Verdict]]) -> tuple[str | None, int]:
    """Return the wrong answer that was given most often, the first in order of equals, and how often."""
    others = Counter(same(text) for text, verdict in answers if text is not None and verdict is Verdict.WRONG)
    return min(others.items(), key=lambda item: (-item[1], item[0]), default=(None, 0))


def same(answer: str) -> str:
    """Return an answer without case and blanks that tell nothing apart.

    >>> same(" 3  Cats ")
    '3 cats'
    """
    return " ".join(answer.split()).casefold()
