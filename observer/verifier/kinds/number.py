r"""Answers that are numbers: how they are read and when two of them are equal.

Read: integers (``-7``, ``1,234``, ``1 000``, ``0x1F``), decimals (``.5``), scientific notation (``1.2e5``,
``1.2 \times 10^{5}``), simple fractions (``1/4``, ``\frac{1}{4}``), mixed numbers (``2 1/4``), each with or
without a percent sign, a unit (``7 cm``, ``$5``, ``60^\circ``) or the thing that is counted (``7 apples``).
Not read: words, expressions, tuples, ratios, ranges. Arithmetic is exact throughout.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction

from observer.types import Verdict
from observer.verifier.kinds.checker import checker
from observer.verifier.kinds.units import Unit, read_unit
from observer.verifier.notation import bare, quote

RELATIVE_TOLERANCE = Fraction(1, 10**6)
"""How far a decimal may be from a gold fraction, relative to it: 0.3333333 is 1/3 and 0.33 is not."""
MAX_DIGITS = 4000
"""In a row: Python itself reads 4,300 and raises above."""
MAX_EXPONENT = 400
"""Largest exponent of scientific notation; beyond it a text is no number."""

_NATURAL = "[0-9][0-9,]*"
_FRAC = r"\\[dtc]?frac\s*(?:\{([^{}]*)\}|([0-9]))\s*(?:\{([^{}]*)\}|([0-9]))"
_SLASH = rf"({_NATURAL})\s*/\s*([+-]?{_NATURAL})"
_POWER = r"10\s*\^\s*(?:\{\s*([+-]?[0-9]+)\s*\}|([+-]?[0-9]+))"
_TIMES = r"\s*(?:\\times|\\cdot|[×·*x])\s*"
_MIXED = re.compile(rf"([0-9]+)(?:\s*{_FRAC}|\s+{_SLASH})")
_FRACTION = re.compile(rf"{_FRAC}|{_SLASH}")
_SCIENTIFIC = re.compile(rf"({_NATURAL}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]+)|{_TIMES}{_POWER})")
_POWER_OF_TEN = re.compile(_POWER)
_DECIMAL = re.compile(rf"{_NATURAL}(?:\.[0-9]*)?|\.[0-9]+")
_HEXADECIMAL = re.compile("0[xX]([0-9a-fA-F]{1,16})")
_MINUTES = re.compile(
    r"([0-9]{1,3}) ?(?:°|\^ ?\{? ?\\circ ?\}?) ?([0-9]{1,2}) ?(?:'|′|\^ ?\{? ?\\prime ?\}?)"
    r"(?: ?([0-9]{1,2}) ?(?:''|\"|″))?"
)
_BLANK_THOUSANDS = re.compile("[0-9]{1,3}(?: [0-9]{3})* 0[0-9]{2}(?: [0-9]{3})*")
_THING = re.compile(
    r"\\(?:text|mbox|textrm|mathrm)\s*\{\s*([a-z][a-z -]+)\.?\s*\}|\(([a-z][a-z -]+)\)"
    r"|([a-z][a-z-]+(?: [a-z][a-z-]+){0,2})|([个只条张本人次块件支位名套棵头辆双])",
    re.IGNORECASE,
)
_NO_THING = frozenset(
    {"and", "or", "to", "nor", "not", "no", "minus", "plus", "point", "half", "quarter", "dozen", "hundred"}
    | {"squared", "cubed", "square", "cubic", "st", "nd", "rd", "th", "percent", "pct", "per", "of", "by"}
    | {"over", "in", "the", "am", "pm", "thousand", "million", "billion", "trillion"}
)
"""Words after which a number is not that of a thing."""
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
FLOAT_DIGITS = 15
"""A decimal of this many digits or more was written by a machine: its last digits say nothing."""
_PERCENT = ("%", "\\%", "percent", "pct")
_MONEY = re.compile(r"([+-]?)\s*(?:US)?(\\?[$€£¥₹])\s*(?=[0-9.])(.*)", re.DOTALL)


@dataclass(frozen=True)
class Number:
    """A number and how it was written."""

    value: Fraction
    """Its exact value, a percent sign and a unit left aside."""
    step: Fraction | None = None
    """What 1 in its last written digit is worth; None when it was written without a decimal point."""
    is_fraction: bool = False
    """Whether it was written as a fraction."""
    percent: bool = False
    """Whether it was written with a percent sign."""
    unit: Unit | None = None
    """Its unit; None when it was written without one."""
    thing: str = ""
    """What is counted, folded; empty where the number stands alone."""


def check_integer(gold: str, prediction: str, options: tuple[str, ...]) -> tuple[Verdict, str]:
    """Check an integer: the prediction is a number, in any notation, of exactly that value.

    >>> check_integer("7", "7.0", ())[0], check_integer("7", "7 apples", ())[0]
    (<Verdict.CORRECT: 'correct'>, <Verdict.WRONG: 'wrong'>)
    """
    if _whole(bare(gold)) is None:
        return Verdict.UNVERIFIABLE, f"the gold answer {quote(gold)} is no integer"
    return check_number(gold, prediction, options)


def equal(gold: Number, prediction: Number) -> bool:
    """Return whether a prediction is the gold number.

    - A gold with a decimal point is taken as rounded to its last written digit: a prediction is right when it
      rounds to it, that is within half a unit of that digit, both ends included.
    - A gold fraction is exact; a decimal prediction, which may be unable to write it, may be off by
      ``RELATIVE_TOLERANCE``. The same holds for a decimal prediction in another unit than the gold's.
    - Any other gold is exact.
    - A percent sign stands on both or on neither: 25% is not 25, nor 0.25.
    - A gold of ``FLOAT_DIGITS`` digits or more, such as 0.30000000000000004, may be off by
      ``RELATIVE_TOLERANCE``.
    - A unit may be missing on one side. Where both have one, the prediction is converted exactly; a unit of
      another dimension is wrong.
    - What is counted may be missing in the prediction; it is not named where the gold does not.

    >>> equal(read_number("0.33"), read_number("1/3")), equal(read_number("1/3"), read_number("0.33"))
    (True, False)
    >>> [equal(read_number("2 m"), read_number(text)) for text in ("200 cm", "2", "2 cm", "2 s")]
    [True, True, False, False]
    """
    if gold.percent != prediction.percent or prediction.thing not in ("", gold.thing):
        return False
    value, converted = prediction.value, False
    if gold.unit is not None and prediction.unit is not None:
        if gold.unit.dimension != prediction.unit.dimension:
            return False
        converted = gold.unit != prediction.unit
        value = prediction.unit.convert(value, gold.unit)
    distance = abs(gold.value - value)
    if gold.step is not None:
        return distance <= gold.step / 2
    if (gold.is_fraction or converted) and prediction.step is not None:
        return distance <= RELATIVE_TOLERANCE * abs(gold.value)
    return distance == 0


def read_number(text: str) -> Number | None:
    r"""Read a number; None when the text is none.

    Args:
        text: at most a thousand characters or so: the arithmetic is exact.

    >>> read_number(r"$-\frac{1}{4}$").value, read_number("1,234.5").step, read_number("3:4")
    (Fraction(-1, 4), Fraction(1, 10), None)
    >>> read_number("$5.00").unit == read_number("5 dollars").unit, read_number("2 1/4").value
    (True, Fraction(9, 4))
    """
    text = bare(text)
    if _digits(text):
        return Number(Fraction(int(text)))
    if text[:1] + text[-1:] == "()" and not any(bracket in text[1:-1] for bracket in "()"):
        text = bare(text[1:-1])
    if (angle := _MINUTES.fullmatch(text)) is not None:
        parts = [Fraction(int(part or 0), 60**place) for place, part in enumerate(angle.groups())]
        return Number(sum(parts, Fraction(0)), unit=read_unit("°"))
    if _HEXADECIMAL.fullmatch(text):
        return Number(Fraction(int(text, 16)))
    if _BLANK_THOUSANDS.fullmatch(text) and _digits(together := text.replace(" ", "")):
        return Number(Fraction(int(together)))
    unit_before = ""
    if (money := _MONEY.fullmatch(text)) is not None and money[3].count("$") % 2 == 0:
        unit_before = money[2].removeprefix("\\").replace("$", "dollar")
        text = money[1] + money[3]
    elif text.startswith("$") and text.count("$") == 2:
        text = text.replace("$", " ")  # $5$ cm
    elif text.startswith("\\(") and text.count("\\(") == 1:
        text = text[2:].replace("\\)", " ", 1)
    sign, text = _signed(text)
    number, rest = _leading(text)
    if number is None:
        return None
    number, rest = _scaled(replace(number, value=sign * number.value), rest)
    if rest in _PERCENT and not unit_before:
        return replace(number, percent=True)
    if not rest and not unit_before:
        return number
    if rest[:1] + rest[-1:] == "()" and read_unit(rest[1:-1]) is not None:
        rest = rest[1:-1]
    unit = read_unit(f"{unit_before} {rest}".strip())
    if unit is not None:
        return replace(number, unit=unit)
    glued = rest[:1].isascii() and rest[:1].isalpha() and not text.rstrip().endswith(f" {rest}")
    thing = "" if unit_before or glued else _counted(rest)
    return replace(number, thing=thing) if thing else None


def _scaled(number: Number, rest: str) -> tuple[Number, str]:
    """Multiply a number by the word behind it: 5 million."""
    word, _, after = rest.partition(" ")
    scale = _SCALES.get(word.lower())
    if scale is None:
        return number, rest
    step = None if number.step is None else number.step * scale
    return replace(number, value=number.value * scale, step=step), after.strip()


def _counted(text: str) -> str:
    r"""Return what is counted, without its plural; nothing where that is not sure.

    >>> _counted("Apples"), _counted(r"\text{ways.}"), _counted("(red apples)"), _counted("or so")
    ('apple', 'way', 'red apple', '')
    """
    match = _THING.fullmatch(text.strip())
    words = "" if match is None else " ".join(next(filter(None, match.groups())).lower().split())
    return "" if not words or _NO_THING & set(words.split()) else words.removesuffix("s")


def _leading(text: str) -> tuple[Number | None, str]:
    """Read the number without sign that a text begins with, and return what follows it."""
    for pattern, read in _FORMS:
        if (match := pattern.match(text)) is not None:
            return read([group or "" for group in match.groups()] or [match[0]]), text[match.end() :].strip()
    return None, text


def _read_mixed(groups: list[str]) -> Number | None:
    whole, part = _natural(groups[0]), _read_fraction(groups[1:])
    if whole is None or part is None or not 0 < part.value < 1:
        return None
    return Number(whole + part.value, is_fraction=True)


def _read_fraction(groups: list[str]) -> Number | None:
    above, below = _whole(groups[0] or groups[1] or groups[4]), _whole(groups[2] or groups[3] or groups[5])
    return None if above is None or not below else Number(Fraction(above, below), is_fraction=True)


def _read_scientific(groups: list[str]) -> Number | None:
    mantissa, *powers = groups
    number, power = _read_decimal([mantissa]), _exponent("".join(powers))
    if number is None or power is None:
        return None
    return Number(number.value * power, None if number.step is None else number.step * power)


def _read_power_of_ten(groups: list[str]) -> Number | None:
    power = _exponent("".join(groups))
    return None if power is None else Number(power)


def _read_decimal(groups: list[str]) -> Number | None:
    """Read digits with or without a decimal point."""
    whole, point, decimals = groups[0].partition(".")
    natural = 0 if point and not whole else _natural(whole)
    if natural is None or (point and not _digits(decimals)):
        return None
    if not point:
        return Number(Fraction(natural))
    step = Fraction(1, 10 ** len(decimals))
    value = natural + int(decimals) * step
    if len(f"{natural}{decimals}".lstrip("0")) >= FLOAT_DIGITS:
        return Number(value, max(step, 2 * RELATIVE_TOLERANCE * value))
    return Number(value, step)


_FORMS = (
    (_MIXED, _read_mixed),
    (_FRACTION, _read_fraction),
    (_SCIENTIFIC, _read_scientific),
    (_POWER_OF_TEN, _read_power_of_ten),
    (_DECIMAL, _read_decimal),
)


def _exponent(text: str) -> Fraction | None:
    sign, digits = _signed(text)
    digits = digits.lstrip("0") or "0"
    return Fraction(10) ** (sign * int(digits)) if len(digits) < 4 and int(digits) <= MAX_EXPONENT else None


def _signed(text: str) -> tuple[int, str]:
    """Split a sign off, without outer blanks."""
    text = text.strip()
    return (-1 if text.startswith("-") else 1), (text[1:] if text.startswith(("+", "-")) else text).lstrip()


def _digits(text: str) -> bool:
    return len(text) <= MAX_DIGITS and text.isascii() and text.isdigit()


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


check_number = checker("a number", read_number, equal)
"""Checks a number by the rule of ``equal``."""
