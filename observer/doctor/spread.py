"""How answers are spread over rows, and how much of the prompts is pictures: figures of a split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from observer.doctor.split import Split, answer_of

MOST_FREQUENT = 3
"""Answers of each kind that are named."""
QUANTILES = (0.0, 0.5, 0.9, 0.99, 1.0)


@dataclass(frozen=True)
class Kind:
    """The answers of one kind."""

    name: str
    rows: int
    different: int
    """Distinct answers."""
    frequent: tuple[tuple[str, int], ...]
    """The most frequent answers with the number of their rows, most first."""


@dataclass(frozen=True)
class Lengths:
    """The lengths of prompts: their quantiles, as ``QUANTILES``."""

    tokens: tuple[float, ...]
    pictures: tuple[float, ...]
    """Share of a prompt that is pictures."""
    visual: int
    """Tokens of all pictures."""
    total: int
    """Tokens of all prompts."""


def kinds(split: Split) -> list[Kind]:
    """Return the answers of a split by kind, the most frequent kind first."""
    found = []
    for name, numbers in split.answers.items():
        values_U, first_U, count_U = np.unique(
            np.frombuffer(numbers, np.uint64), return_index=True, return_counts=True
        )
        order = np.lexsort((first_U, -count_U))[:MOST_FREQUENT]
        rows = [split.answered[name][first_U[place]] for place in order.tolist()]
        frequent = tuple(
            (answer_of(split.rows[row]), int(count_U[place]))
            for row, place in zip(rows, order.tolist(), strict=True)
        )
        found.append(Kind(name, len(numbers), len(values_U), frequent))
    return sorted(found, key=lambda kind: (-kind.rows, kind.name))


def guessed(found: list[Kind]) -> float:
    """Return the accuracy of guessing the most frequent answer of each kind."""
    return sum(kind.frequent[0][1] for kind in found) / sum(kind.rows for kind in found)


def lengths(split: Split) -> Lengths | None:
    """Return the lengths of the prompts of a split; None where none was measured."""
    if not split.tokens:
        return None
    tokens_R, visual_R = (np.frombuffer(numbers, np.int64) for numbers in (split.tokens, split.visual))
    return Lengths(
        tuple(np.quantile(tokens_R, QUANTILES, method="nearest").tolist()),
        tuple(np.quantile(visual_R / tokens_R, QUANTILES).tolist()),
        int(visual_R.sum()),
        int(tokens_R.sum()),
    )
