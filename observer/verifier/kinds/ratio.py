"""Answers that are ratios: 3:4 equals 6:8 and is not 3."""

from __future__ import annotations

import re
from fractions import Fraction

from observer.verifier.kinds.checker import checker
from observer.verifier.kinds.number import read_number
from observer.verifier.notation import bare

MAX_TERMS = 10
"""Terms of a ratio at most."""

_COLON = re.compile(r"\\colon(?![A-Za-z])|\{:\}|[:\uff1a\u2236]| to ")


def read_ratio(text: str) -> tuple[Fraction, ...] | None:
    r"""Read a ratio as its terms over the first; a fraction is a ratio of two terms. None for anything else.

    >>> read_ratio("3 : 4"), read_ratio("6 to 8"), read_ratio(r"\frac{3}{4}") == read_ratio("3:4")
    ((Fraction(1, 1), Fraction(4, 3)), (Fraction(1, 1), Fraction(4, 3)), True)
    >>> read_ratio("3"), read_ratio("0:4"), read_ratio("0.75")
    (None, None, None)
    """
    text = bare(text)
    numbers = [read_number(part) for part in _COLON.split(text, MAX_TERMS)]
    if len(numbers) == 1 and numbers[0] is not None and numbers[0].is_fraction:
        terms = [Fraction(numbers[0].value.numerator), Fraction(numbers[0].value.denominator)]
    else:
        terms = [number.value for number in numbers if number and not (number.percent or number.unit)]
    if not 2 <= len(terms) <= MAX_TERMS or len(terms) < len(numbers) or min(terms) <= 0:
        return None
    return tuple(term / terms[0] for term in terms)


def looks_like_ratio(gold: str) -> bool:
    """Return whether a gold answer is surely a ratio: terms with colons between them.

    >>> looks_like_ratio("3:4"), looks_like_ratio("3/4")
    (True, False)
    """
    return ":" in gold and read_ratio(gold) is not None


check_ratio = checker("a ratio", read_ratio, tuple.__eq__)
"""Checks a ratio: equal up to a common factor, in order."""
