"""How a step asks models: what it says, and what it gets back. The models themselves are in ``asker``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from observer.ladder.asked import AskedModel
from observer.rewards import ResponseFormat
from observer.types import Completion, Problem, Score

Responses = list[tuple[Completion, Score]]
"""The responses to one problem, scored."""


@dataclass(frozen=True)
class Ask:
    """How a step asks: which model, in which format, how often, how long."""

    response_format: ResponseFormat
    responses: int
    max_tokens: int
    temperature: float
    name: str
    """Part of every seed, so that two steps of a build do not draw alike."""


class Asker(ABC):
    """Answers problems with one or several models."""

    tokens: int
    """Completion tokens drawn so far."""

    @abstractmethod
    def faults(self, problems: Sequence[Problem], ask: Ask, model: AskedModel | None = None) -> list[str]:
        """Return why each problem cannot be asked, such as a prompt that is too long; "" where it can.

        Args:
            problems: any.
            ask: how they would be asked.
            model: None for the build's.
        """

    @abstractmethod
    def ask(self, problems: Sequence[Problem], ask: Ask, model: AskedModel | None = None) -> list[Responses]:
        """Return the scored responses to each problem, none of which has a fault.

        Args:
            problems: any; what is drawn depends on the id of each, and not on the others.
            ask: how they are asked.
            model: None for the build's.

        Raises:
            LostInputError: a picture that was checked cannot be decoded.
            NotFiniteError: the model's logits are not finite.
        """

    @abstractmethod
    def gold_faults(self, problems: Sequence[Problem]) -> list[str]:
        """Return why no rule can check the gold answer of each problem; "" where one can. No model is asked.

        Formulas are verified against themselves, in a process that can be killed; answers of other kinds were
        checked when their row was read.
        """

    @abstractmethod
    def close(self) -> None:
        """Release all models."""
