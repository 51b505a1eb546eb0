"""Formulas beyond what ``maths`` reads, such as sums and integrals: compared by math-verify, that is SymPy.

Its LaTeX reader only: the plain one evaluates text as code. It may need any time and memory, so that it runs
in processes that can be killed.
"""

from __future__ import annotations

import logging
import re
import warnings
from typing import Any

_COMMAND = re.compile(r"\\[A-Za-z]{2,}")
_SPARE = "qwzvukjhgbdcamnprst"
DIGITS = 30
"""Digits to which two constants must agree."""


def same_symbolic(gold: str, prediction: str) -> bool | None:
    """Return whether two formulas are equal; None when the gold one cannot be read or is not even itself."""
    capitals = _capitals(_letters(gold), _letters(prediction))
    right, given = _parse(_recased(gold, capitals)), _parse(_recased(prediction, capitals))
    if right is None or not _same(right, right):
        return None
    return given is not None and _same(right, given) and _near(right[0], given[0])


def _same(gold: list[Any], prediction: list[Any]) -> bool:
    from math_verify import verify

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bool(verify(gold, prediction, timeout_seconds=None))


def _near(gold: Any, prediction: Any) -> bool:
    """Return whether two constants agree: to the library what is small is 0, and an infinity any number."""
    from sympy import Limit
    from sympy.concrete.expr_with_limits import ExprWithLimits

    both = (gold, prediction)
    if not all(getattr(value, "is_number", False) for value in both):
        return True
    if any(value.has(ExprWithLimits, Limit) for value in both):  # they may have no value, which raises
        return True
    if any(value.is_finite is False for value in both):
        return bool(gold == prediction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        right, given = (value.evalf(2 * DIGITS) for value in both)
        return bool(abs(right - given) <= abs(right) * 10**-DIGITS)


def _letters(text: str) -> set[str]:
    return set(re.findall("[A-Za-z]", _COMMAND.sub(" ", text)))


def _capitals(gold: set[str], prediction: set[str]) -> dict[int, str]:
    """Return other letters for the capitals that the gold tells from small ones.

    The library knows small letters only: to it, R - r is 0.
    """
    both = sorted(letter for letter in gold if letter.isupper() and letter.lower() in gold)
    taken = {letter.lower() for letter in gold | prediction}
    return str.maketrans(dict(zip(both, (letter for letter in _SPARE if letter not in taken), strict=False)))


def _recased(text: str, capitals: dict[int, str]) -> str:
    pieces = re.split(r"(\\[A-Za-z]+)", text)
    return "".join(piece if piece.startswith("\\") else piece.translate(capitals) for piece in pieces)


def _parse(body: str) -> list[Any] | None:
    """Return what math-verify reads; None when it reads nothing."""
    # These take seconds to import and nobody but the processes that check expressions needs them.
    from latex2sympy2_extended import NormalizationConfig
    from math_verify import LatexExtractionConfig, parse

    logging.getLogger("math_verify").setLevel(logging.CRITICAL)  # it warns of time-outs that are not its own
    # Left to itself it takes a trailing t, h or m for a unit and drops it.
    normalisation = NormalizationConfig(
        basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none", equations=False
    )
    latex = LatexExtractionConfig(boxed_match_priority=-1, normalization_config=normalisation)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return parse(f"${body}$", [latex], fallback_mode="no_fallback", parsing_timeout=None) or None
