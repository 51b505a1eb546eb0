"""MathVista's rule: numbers are rounded as the row says, choices are the nearest option."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from observer.evaluation.extractors import last_value
from observer.evaluation.scoring.base import Answered, Scoring, share

_LETTER = re.compile(r"\(([A-Za-z])\)|^\s*([A-Z])\s*[.:]?\s*$")
LONGEST = 200
"""Characters of an answer by which the nearest option is found."""


@dataclass(frozen=True)
class Rounded(Scoring):
    """MathVista's rule: a float is right that rounds to the gold at the row's precision.

    An integer is cut to its whole part, a choice is its letter or else the option with the least edit
    distance, a list is compared as text. The answer is taken from the response by our rules, not by a model.

    Args:
        kind: the note that says ``integer``, ``float``, ``list`` or ``text``.
        precision: the note of the digits behind the point.

    Reference:
        Lu et al., "MathVista: Evaluating Mathematical Reasoning of Foundation Models in Visual Contexts",
        arXiv 2310.02255, section 3.
    """

    kind: str = "answer_type"
    precision: str = "precision"

    judged: ClassVar[bool] = True

    def figures(self, answered: Sequence[Answered]) -> dict[str, Any]:
        """Return the accuracy over rows."""
        right_P = [self.right(one) for one in answered]
        return {
            "accuracy": share(np.array(right_P, bool), np.array([one.cluster for one in answered], object))
        }

    def right(self, one: Answered) -> bool:
        """Return whether an answer is the gold one by the rule."""
        if one.extracted is None:
            return False
        kind = str(one.metadata.get(self.kind, "text"))
        if one.options:
            return _option(one.extracted, one.options) == _option(one.answer, one.options)
        if kind in ("integer", "float"):
            found, gold = _number(one.extracted), _number(one.answer)
            if found is None or gold is None:
                return False
            if kind == "integer":
                return int(found) == int(gold)
            digits = one.metadata.get(self.precision)
            if not isinstance(digits, int | float):
                return found == gold
            return round(found, int(digits)) == round(gold, int(digits))
        return "".join(one.extracted.split()) == "".join(one.answer.split())


def _number(text: str) -> float | None:
    """Return the last number of a text.

    >>> _number("about 1,234.5 cm"), _number("none")
    (1234.5, None)
    """
    found = last_value(text, "number")
    try:
        return float(found.replace(",", "")) if found else None
    except ValueError:  # a fraction or a percentage, which the rule does not read
        return None


def _option(text: str, options: Sequence[str]) -> str:
    """Return the option that an answer means.

    >>> _option("(B) 4", ("3", "4")), _option("A", ("3", "4")), _option("squares", ("circle", "square"))
    ('4', '3', 'square')
    """
    found = _LETTER.search(text)
    place = ord((found[1] or found[2]).upper()) - ord("A") if found else len(options)
    if text.strip() in options or place >= len(options):
        return min(options, key=lambda option: _distance(text.strip()[:LONGEST], option[:LONGEST]))
    return options[place]


def _distance(one: str, other: str) -> int:
    """Return the edit distance of two texts: letters that are put in, left out or changed.

    >>> _distance("kitten", "sitting")
    3
    """
    row = list(range(len(other) + 1))
    for place, letter in enumerate(one, start=1):
        before, row[0] = row[0], place
        for at, mark in enumerate(other, start=1):
            before, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, before + (letter != mark))
    return row[-1]
