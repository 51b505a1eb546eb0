"""Removes rows that a small model answers without reasoning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from observer.ladder.asked import AskedModel
from observer.ladder.asking import Ask, Asker
from observer.ladder.guessing.above_chance import above_chance, columns, count_right
from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep, Values
from observer.refusal import refuse_fields
from observer.rewards import Free, ResponseFormat
from observer.types import Problem

if TYPE_CHECKING:
    from observer.ladder.table import Table

ANSWER_ONLY = (
    "Give the final answer and nothing else: only the number, the expression or the letter of the option."
)


@dataclass(frozen=True)
class SimpleQuestions(BuildStep):
    """Rows that need reasoning: those go that a small model solves with an answer alone.

    A row is solved where the lower Wilson bound of its right answers lies above the chance rate of its kind
    of answer: of four options a quarter. The options of a choice are asked in all their orders in turn. Of
    several models the one with the most right answers counts, with an interval that is wider for their number
    (Bonferroni).

    Reference: Observe-R1, arXiv 2505.12432, which asks once and discards every right answer, lucky ones too.

    Args:
        responses: per row and model. With too few no row can be shown to be solved: 3 of open answers, 5 of
            four options.
        max_tokens: of a response.
        temperature: divides the logits; above 0, or all responses are equal.
        response_format: asks for the answer alone.
        confidence: of the interval.
        open_chance: how often a guess is right where the answer is not one of a few.
        models: those that are asked; empty for the build's.
    """

    responses: int = 8
    max_tokens: int = 32
    temperature: float = 1.0
    response_format: ResponseFormat = Free(ANSWER_ONLY)  # noqa: RUF009 - it is frozen
    confidence: float = 0.95
    open_chance: float = 0.1
    models: tuple[AskedModel, ...] = ()

    measures: ClassVar[Mapping[str, pa.DataType]] = columns("simple") | {"simple_by": pa.int32()}
    asks: ClassVar[bool] = True
    by_row: ClassVar[bool] = True

    def __post_init__(self) -> None:
        refuse_fields(self, "responses", "max_tokens", least=1)
        refuse_fields(self, "temperature", above=0)
        refuse_fields(self, "confidence", least=0.5, most=0.9999)
        refuse_fields(self, "open_chance", least=0, most=1)

    def measure(self, problems: Sequence[Problem], asker: Asker) -> Values:
        """Ask each model; keep the figures of the one with the most right answers."""
        best: Values = {}
        by = [0] * len(problems)
        for place, model in enumerate(self.models or (None,)):
            name = f"SimpleQuestions {place}"
            ask = Ask(self.response_format, self.responses, self.max_tokens, self.temperature, name)
            found = count_right(problems, asker, ask, model, self.open_chance, "simple")
            if not best:
                best = found
                continue
            for row, right in enumerate(found["simple_correct"]):
                if right is not None and right > (best["simple_correct"][row] or -1):
                    by[row] = place
                    for column, values in best.items():
                        values[row] = found[column][row]
        return best | {"simple_by": by}

    def select(self, table: Table) -> Selection:
        """Keep the rows that no model solves more often than a guess would."""
        confidence = 1 - (1 - self.confidence) / max(1, len(self.models))

        def told(right: int, asked: int) -> str:
            return f"{right} of {asked} answers without reasoning are right"

        return above_chance(table, "simple", confidence, told)
