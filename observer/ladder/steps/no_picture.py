"""Removes rows that are solved without their picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from observer.ladder.asked import AskedModel
from observer.ladder.asking import Ask, Asker
from observer.ladder.guessing.above_chance import above_chance, columns, count_right
from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep, Values
from observer.refusal import refuse_fields
from observer.rewards import Observe, ResponseFormat
from observer.types import IMAGE_MARK, Problem

if TYPE_CHECKING:
    from observer.ladder.table import Table


@dataclass(frozen=True)
class NoPicture(BuildStep):
    """Rows that need their picture: those go that are solved without it.

    A row is solved where the lower Wilson bound of its right answers lies above the chance rate of its kind
    of answer; the options of a choice are asked in all their orders in turn. Rows without a picture stay.
    Those that go are listed for review; a decision to keep one (``Review.decisions``) brings it back.

    Args:
        responses: per row.
        max_tokens: of a response.
        temperature: divides the logits; above 0, or all responses are equal.
        response_format: what a response must look like, as in ``Measure``.
        confidence: of the interval.
        open_chance: how often a guess is right where the answer is not one of a few.
        model: the model that answers; null for the build's.
    """

    responses: int = 8
    max_tokens: int = 1024
    temperature: float = 1.0
    response_format: ResponseFormat = Observe()  # noqa: RUF009 - it is frozen
    confidence: float = 0.95
    open_chance: float = 0.1
    model: AskedModel | None = None

    measures: ClassVar[Mapping[str, pa.DataType]] = columns("no_picture")
    asks: ClassVar[bool] = True
    by_row: ClassVar[bool] = True

    def __post_init__(self) -> None:
        refuse_fields(self, "responses", "max_tokens", least=1)
        refuse_fields(self, "temperature", above=0)
        refuse_fields(self, "confidence", least=0.5, most=0.9999)
        refuse_fields(self, "open_chance", least=0, most=1)

    def measure(self, problems: Sequence[Problem], asker: Asker) -> Values:
        """Ask each problem that shows pictures without them."""
        ask = Ask(self.response_format, self.responses, self.max_tokens, self.temperature, "NoPicture")
        blind = [without_pictures(problem) for problem in problems if problem.pictures]
        found = count_right(blind, asker, ask, self.model, self.open_chance, "no_picture")
        rows = iter(zip(*(found[name] for name in self.measures), strict=True))
        empty = (0, 0, 1.0, 0, "")
        all_rows = [next(rows) if problem.pictures else empty for problem in problems]
        return {name: [row[place] for row in all_rows] for place, name in enumerate(self.measures)}

    def select(self, table: Table) -> Selection:
        """Keep the rows that are not solved more often than a guess would be right."""

        def told(right: int, asked: int) -> str:
            return f"{right} of {asked} responses are right without the picture"

        mend = "keep it to bring the row back"
        return above_chance(table, "no_picture", self.confidence, told, mend)


def without_pictures(problem: Problem) -> Problem:
    """Return a problem that shows nothing; its id says so, so that its draws are others."""
    turns = tuple(replace(turn, text=turn.text.replace(IMAGE_MARK, "")) for turn in problem.turns)
    return replace(problem, id=f"{problem.id}#no picture", turns=turns, pictures=())
