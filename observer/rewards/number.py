r"""Answers that are numbers: how they are read and when two of them are equal.

Read: integers (``-7``, ``1,234``), decimals (``.5``), scientific notation (``1.2e5``, ``1.2 \times 10^{5}``),
simple fractions (``1/4``, ``\frac{1}{4}``), each with or without a percent sign. Only the digits 0 to 9 are
digits. Not read: units, words, expressions, tuples, ratios, ranges. Arithmetic is exact throughout.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from observer.rewards.notation import bare, quote
from observer.types import Verdict

RELATIVE_TOLERANCE = Fraction(1, 10**6)
"""How far a decimal may be from a gold fraction, relative to it: 0.3333333 is 1/3 and 0.33 is not."""
MAX_EXPONENT = 400
"""Largest exponent of scientific notation; beyond it a text is no number."""

_FRAC = re.compile(r"([+-]?)\\[dt]?frac\s*\{([^{}]*)\}\s*\{([^{}]*)\}")
_TIMES = (r"\times", r"\cdot", "\u00d7")


@dataclass(frozen=True)
class Number:
    """A number and how it was written."""

    value: Fraction
    """Its exact value, a percent sign left aside."""
    unit: Fraction | None = None
    """What 1 in its last written digit is worth; None when it was written without a decimal point."""
    is_fraction: bool = False
    """Whether it was written as a fraction."""
    percent: bool = False
    """Whether it was written with a percent sign."""


def check_integer(gold: str, prediction: str, options: tuple[str, ...]) -> tuple[Verdict, str]:
    """Check an integer: the prediction is a number, in any notation, of exactly that value.

    >>> check_integer("7", "7.0", ())[0], check_integer("7", "7 apples", ())[0]
    (<Verdict.CORRECT: 'correct'>, <Verdict.WRONG: 'wrong'>)
    """
    whole = _whole(bare(gold).replace("{,}", ","))
    if whole is None:
        return Verdict.UNVERIFIABLE, f"the gold answer {quote(gold)} is no integer"
    return _compare(Number(Fraction(whole)), gold, prediction)


def check_number(gold: str, prediction: str, options: tuple[str, ...]) -> tuple[Verdict, str]:
    """Check a number by the rule of ``equal``.

    >>> check_number("3.14", "3.1416", ())[0], check_number("3.14", "3.1", ())[0]
    (<Verdict.CORRECT: 'correct'>, <Verdict.WRONG: 'wrong'>)
    """
    number = read_number(gold)
    if number is None:
        return Verdict.UNVERIFIABLE, f"the gold answer {quote(gold)} is no number"
    return _compare(number, gold, prediction)


def equal(gold: Number, prediction: Number) -> bool:
    """Say whether a prediction is the gold number.

    - A gold with a decimal point is taken as rounded to its last written digit: a prediction is right when it
      rounds to it, that is within half a unit of that digit, both ends included.
    - A gold fraction is exact; a decimal prediction, which may be unable to write it, may be off by
      ``RELATIVE_TOLERANCE``.
    - Any other gold is exact.
    - A percent sign stands on both or on neither: 25% is not 25, nor 0.25.

    >>> equal(read_number("0.33"), read_number("1/3")), equal(read_number("1/3"), read_number("0.33"))
    (True, False)
    """
    if gold.percent != prediction.percent:
        return False
    distance = abs(gold.value - prediction.value)
    if gold.unit is not None:
        return distance <= gold.unit / 2
    if gold.is_fraction and prediction.unit is not None:
        return distance <= RELATIVE_TOLERANCE * abs(gold.value)
    return distance == 0


def read_number(text: str) -> Number | None:
    r"""Read a number; None when the text is none.

    Args:
        text: at most a thousand characters or so: the arithmetic is exact.

    >>> read_number(r"$-\frac{1}{4}$").value, read_number("1,234.5").unit, read_number("3:4")
    (Fraction(-1, 4), Fraction(1, 10), None)
    """
    text = bare(text).replace("{,}", ",")
    percent = text.endswith("%")
    if percent:
        text = bare(text[:-1].removesuffix("\\"))
    fraction = _fraction(text)
    if fraction is not None:
        return Number(fraction, is_fraction=True, percent=percent)
    mantissa, exponent = _split_exponent(text)
    decimal = _decimal(mantissa)
    power = _whole(exponent)
    if decimal is None or power is None or abs(power) > MAX_EXPONENT:
        return None
    value, unit = decimal
    scale = Fraction(10) ** power
    return Number(value * scale, None if unit is None else unit * scale, percent=percent)


def _compare(gold: Number, written: str, prediction: str) -> tuple[Verdict, str]:
    number = read_number(prediction)
    if number is None:
        return Verdict.WRONG, f"{quote(prediction)} is no number"
    if equal(gold, number):
        return Verdict.CORRECT, f"{quote(prediction)} equals {quote(written)}"
    return Verdict.WRONG, f"{quote(prediction)} is not {quote(written)}"


def _signed(text: str) -> tuple[int, str]:
    """Split a sign off, without outer blanks."""
    text = text.strip()
    return (-1 if text.startswith("-") else 1), (text[1:] if text.startswith(("+", "-")) else text)


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _natural(text: str) -> int | None:
    """Read digits, with separators only where thousands have them."""
    if "," in text:
        first, *rest = text.split(",")
        if len(first) > 3 or first.startswith("0") or any(len(group) != 3 for group in rest):
            return None
        text = "".join((first, *rest)) if first else ""
    return int(text) if _digits(text) else None


def _whole(text: str) -> int | None:
    sign, body = _signed(text)
    natural = _natural(body)
    return None if natural is None else sign * natural


def _fraction(text: str) -> Fraction | None:
    sign = 1
    if (frac := _FRAC.fullmatch(text)) is not None:
        sign = -1 if frac[1] == "-" else 1
        above, below = _whole(frac[2]), _whole(frac[3])
    else:
        left, slash, right = text.partition("/")
        above, below = (_whole(left), _whole(right)) if slash else (None, None)
    return None if above is None or not below else Fraction(sign * above, below)


def _split_exponent(text: str) -> tuple[str, str]:
    """Split scientific notation into mantissa and exponent; the exponent of any other text is 0."""
    for times in _TIMES:
        mantissa, found, power = text.partition(times)
        power = power.strip()
        if found and power.startswith("10^"):
            exponent = power[3:]
            braced = exponent.startswith("{") and exponent.endswith("}")
            return mantissa, exponent[1:-1] if braced else exponent
    mantissa, found, exponent = text.replace("E", "e").partition("e")
    return (mantissa, exponent) if found else (text, "0")


def _decimal(text: str) -> tuple[Fraction, Fraction | None] | None:
    """Read an integer or a decimal: its value and, with a decimal point, the unit of its last digit."""
    sign, body = _signed(text)
    whole, point, decimals = body.partition(".")
    natural = 0 if point and not whole else _natural(whole)
    if natural is None or (point and not _digits(decimals)):
        return None
    if not point:
        return Fraction(sign * natural), None
    unit = Fraction(1, 10 ** len(decimals))
    return sign * (natural + int(decimals) * unit), unit
