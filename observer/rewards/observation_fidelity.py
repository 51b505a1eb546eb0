"""Whether a response sees what is there: known facts of the picture against its observe block."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from typing import Any

from observer.refusal import refuse_unless, shown
from observer.rewards.base import Reward
from observer.rewards.blocks import find_block
from observer.types import Group, Problem, Score
from observer.verifier.notation import compatible, fold

Fact = str | int | Fraction
_NUMBER = re.compile(r"(?<![\w.])-?[0-9]++(?:\.[0-9]++)?")


@dataclass(frozen=True)
class ObservationFidelity(Reward):
    """r = facts stated / facts: the share of a row's known facts that the observe block states, each once.

    A number is stated where a number of equal value stands; a text where it stands as whole words, whatever
    its case and blanks. A fact that is listed twice has to be stated twice: pips 4 4 2 are three facts. A
    response whose observe block is missing, blank or there more than once gets 0. A row without facts gets
    no value.

    Reference: none, our own, without a judge. Kin: Perception-R1, arXiv 2506.07218, where a language model
    says which facts a response states.

    Assumes that nobody states everything: a block that lists all numbers states them all. ``count_surplus``
    is against that, where facts are numbers. Synonyms, numbers in words and negations are not understood.

    Args:
        weight: the reward of a block with all facts.
        fields: names of metadata; the facts are in the first that the row has: a number, a text or a list
            of them.
        count_surplus: whether numbers beyond the facts count as facts that are not stated, where all facts
            are numbers.

    >>> ObservationFidelity().share("4 5 5", [4, 5, 2, 8]), ObservationFidelity().share("a Red dial", ["red"])
    (0.5, 1.0)
    >>> crammed = "1 2 3 4 5 6"
    >>> [ObservationFidelity(count_surplus=flag).share(crammed, [4, 5, 2]) for flag in (False, True)]
    [1.0, 0.5]
    """

    weight: float = 0.5
    fields: list[str] = field(default_factory=lambda: ["facts", "pips"])
    count_surplus: bool = False

    def __post_init__(self) -> None:
        """Refuse to look for facts nowhere."""
        super().__post_init__()
        refuse_unless(bool(self.fields), self, "fields", "name a field of the rows' metadata")

    def share(self, block: str, facts: Sequence[str | float]) -> float:
        """Return the share of the facts that a text states.

        Args:
            block: the text.
            facts: at least one.
        """
        wanted = Counter(_read_fact(fact) for fact in facts)
        text = " ".join(compatible(block).replace("\u2212", "-").split()).casefold()
        numbers = Counter(map(_value, _NUMBER.findall(text)))
        stated = sum(min(count, _times(fact, text, numbers)) for fact, count in wanted.items())
        total = len(facts)
        if self.count_surplus and not any(isinstance(fact, str) for fact in wanted):
            total = max(total, numbers.total())
        return stated / total

    def __call__(self, group: Group, scores: Sequence[Score], step: int) -> Sequence[float | None]:
        """Return each completion's share, 0 to 1; None where the row has no facts."""
        facts = self._facts(group.problem)
        if not facts:
            return [None] * len(scores)
        blocks = [find_block(completion.text, "observe") for completion in group.completions]
        return [0.0 if block is None else self.share(block, facts) for block in blocks]

    def _facts(self, problem: Problem) -> Sequence[str | float]:
        for name in self.fields:
            if (value := problem.metadata.get(name)) is not None:
                facts = value if isinstance(value, list | tuple) else (value,)
                for fact in facts:
                    if not _is_fact(fact):
                        raise ValueError(f"metadata {name!r} holds {shown(fact)}; give numbers and texts")
                return facts
        return ()


def _is_fact(fact: Any) -> bool:
    if isinstance(fact, str):
        return bool(fold(compatible(fact)))
    return isinstance(fact, int | float) and not isinstance(fact, bool) and abs(fact) < float("inf")


def _read_fact(fact: str | float) -> Fact:
    """Return a fact as it is compared: a number, or a text without differences of case and blanks."""
    text = fold(compatible(fact)) if isinstance(fact, str) else str(fact)
    return _value(text) if not isinstance(fact, str) or _NUMBER.fullmatch(text) else text


@lru_cache(4096)
def _value(number: str) -> int | Fraction:
    """Return a number exactly; a whole one as an int, which is faster to compare."""
    value = Fraction(number)
    return value.numerator if value.denominator == 1 else value


def _times(fact: Fact, text: str, numbers: Counter[int | Fraction]) -> int:
    if not isinstance(fact, str):
        return numbers[fact]
    return len(re.findall(rf"(?<!\w){re.escape(fact)}(?!\w)", text))
