r"""What stands around a value: ``Area = 9 cm``, ``x = 5``, ``\frac{1}{3} \approx 0.33``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from observer.verifier.notation import bare

_WORDS = re.compile(
    r"(?:\\(?:text|mathrm|mbox|textbf|textrm) ?\{ ?)?((?:[A-Za-z]\.){2,}[A-Za-z .'-]*"
    r"|[A-Za-z][A-Za-z.'-]+(?: [A-Za-z][A-Za-z.'-]*){0,5})"
    r" ?\}?\$? ?(?P<sign>[=:]|\\approx(?![A-Za-z])|≈| is(?= ))\s*(?P<rest>.+)",
    re.DOTALL,
)
_SYMBOL = re.compile(
    r"(?:[A-Za-z]|[A-Z]{2,4}|\\[A-Za-z]+"
    r"|\\(?:vec|bar|hat|overline|mathrm|text|angle|triangle)\b ?\{?[A-Za-z]+\}?)"
    r"(?:_(?:[A-Za-z0-9]+|\{[^{}]*\}))?'*(?: ?\([A-Za-z](?:, ?[A-Za-z])*\))?|m?(?:\\angle|∠) ?[A-Z]{1,3}"
    r"|\([a-z](?:, ?[a-z])+\)"
)
_NAME_OF_PART = re.compile(rf"(^|[,;]\s*|(?<![A-Za-z])(?:and|or)\s+)(?P<name>{_SYMBOL.pattern})\s*=\s*")
_NAME_OF_POINT = re.compile(r"(^|[,;]\s*|(?<![A-Za-z])(?:and|or)\s+)[A-Z](?=\()")
_SIGN = re.compile(r"(?<![<>!:=\\])(=|\\approx(?![A-Za-z])|≈)(?!=)")
_SHORT = frozenset({"sum", "ans", "gcd", "lcm", "min", "max", "avg", "top"})
_NO_NAME = frozenset(
    {"minus", "negative", "not", "never", "wrong", "no", "twice", "half", "double", "less", "more", "than"}
    | {"square", "squared", "cubed", "root", "cube", "over", "under", "times", "plus", "and", "or", "cannot"}
    | {
        "except",
        "excluding",
        "neither",
        "opposite",
        "inverse",
        "reciprocal",
        "sine",
        "cosine",
        "tangent",
        "without",
    }
    | {
        "sin",
        "cos",
        "tan",
        "log",
        "ln",
        "sqrt",
        "exp",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
    }
    | {
        "nine",
        "ten",
        "triple",
        "quarter",
        "third",
        "isn't",
        "aren't",
        "false",
        "incorrect",
        "unlike",
        "other",
    }
)
"""Words that do more than to name a value."""
_NEARLY = re.compile(
    r"(?:≈|\\approx(?![A-Za-z])|~|(?:about|approximately|approx\.?|roughly|around) )\s*(.+)",
    re.DOTALL | re.IGNORECASE,
)
_ANSWER = re.compile(r"(?:the )?(?:final |correct |right )?(?:answer|option|choice|ans)", re.IGNORECASE)


@dataclass(frozen=True)
class Said:
    """A value with what was written around it."""

    name: str
    """What it is the value of, as words or a symbol; empty where nothing is named."""
    values: tuple[str, ...]
    """The value, and whatever it is said to equal."""
    approximations: tuple[str, ...]
    """What it is said to be nearly equal to."""


def without_words(text: str) -> str:
    r"""Take off the words that name a value.

    >>> [without_words(text) for text in (r"Area $=9 \mathrm{~cm}^2$", "slope =-4", "x=5", "3:15")]
    ['9 \\mathrm{~cm}^2', '-4', 'x=5', '3:15']
    """
    text = bare(text)
    match = _WORDS.fullmatch(text)
    if match is not None and _names(match[1], match["sign"].strip()):
        text = match["rest"]
    elif text.startswith("="):
        text = text[1:]
    elif (nearly := _NEARLY.fullmatch(text)) is not None:
        text = nearly[1]
    else:
        return text
    return bare(text.replace("$", "") if text.count("$") % 2 else text)


def _names(words: str, sign: str) -> bool:
    """Return whether words name a value: a product such as ``xy`` does not."""
    apart = words.lower().split()
    if _NO_NAME & set(apart) or any(len(word) == 1 for word in apart[1:]):  # a multiple, or sine of A
        return False
    if sign == "is":
        return words.lower().startswith("the ") or _ANSWER.fullmatch(words) is not None
    return len(words) > 4 or words.lower() in _SHORT or not (words.isupper() or len(words) < 4)


def without_names(text: str) -> str:
    """Take the names off the parts of an answer: of values, and of points.

    >>> without_names("x=3, y=-2"), without_names("x_1 = 2 or x_2 = 3"), without_names("A(3, -2)")
    ('3, -2', '2 or 3', '(3, -2)')
    """
    names = [match["name"] for match in _NAME_OF_PART.finditer(bare(text))]
    if names != sorted(names):  # y = 3, x = -2 is not (3, -2)
        return text
    return _NAME_OF_POINT.sub(r"\1", _NAME_OF_PART.sub(r"\1", bare(text)))


def is_answer(text: str) -> bool:
    """Return whether a text begins by saying that it is the answer.

    >>> is_answer("Answer: red"), is_answer("Colour: red")
    (True, False)
    """
    match = _WORDS.fullmatch(bare(text))
    return match is not None and _ANSWER.fullmatch(match[1]) is not None


def said(text: str) -> Said | None:
    r"""Return what a text says is equal to what; None where it says nothing of the kind.

    >>> said("x = 10/2 = 5")
    Said(name='x', values=('10/2', '5'), approximations=())
    >>> said(r"\frac13 \approx 0.33")
    Said(name='', values=('\\frac13',), approximations=('0.33',))
    >>> said("5"), said("x+y = 4").name
    (None, '')
    """
    pieces = _SIGN.split(bare(text))
    if len(pieces) < 3:
        return None
    sides = [bare(piece.replace("$", "")) for piece in pieces[::2]]
    signs = ["=", *pieces[1::2]]
    name = ""
    if _SYMBOL.fullmatch(sides[0]):
        name, sides, signs = sides[0], sides[1:], ["=", *signs[2:]]
    values = tuple(side for side, sign in zip(sides, signs, strict=True) if sign == "=")
    return Said(name, values, tuple(side for side, sign in zip(sides, signs, strict=True) if sign != "="))
