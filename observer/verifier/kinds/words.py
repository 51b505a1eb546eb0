"""Answers in words: short texts, and yes or no. No substring and no synonym ever decides."""

from __future__ import annotations

import re

from observer.verifier.kinds.checker import checker
from observer.verifier.notation import bare, compatible, unquote

MAX_TEXT = 64
"""Longest gold answer that is taken for a short text by itself, in characters."""

_TRUTH = {"yes": True, "true": True, "no": False, "false": False}
_INDEX = re.compile(r"_\{?([0-9]+)\}?")
_WRAPPED = re.compile(r"\\(?:text|mathrm|textrm|mbox)\s*\{([^{}]*)\}")
_IN_MATHS = re.compile(r"\$([A-Za-z0-9 ]+)\$")
_ARTICLES = ("the ", "an ", "a ")


def read_text(text: str) -> str | None:
    """Return a text without what does not matter: Unicode form, case, blanks, quotes, period, article.

    Lowered digits are digits.

    >>> read_text(' The  "Red" square. '), read_text("“Red square”"), read_text("."), read_text("CO_2")
    ('"red" square', 'red square', None, 'co2')
    """
    text = _IN_MATHS.sub(r"\1", _INDEX.sub(r"\1", _WRAPPED.sub(r"\1", compatible(text))))
    text = " ".join(bare(text).split()).casefold()
    text = bare(unquote(text))
    for article in _ARTICLES:
        if text.startswith(article):
            text = unquote(text.removeprefix(article))
            break
    return text if text.strip(".") else None


def read_yes_no(text: str) -> bool | None:
    """Read yes or true, no or false; None for anything else.

    >>> read_yes_no("Yes."), read_yes_no("FALSE"), read_yes_no("yes and no")
    (True, False, None)
    """
    return _TRUTH.get(read_text(text) or "")


def looks_like_text(gold: str) -> bool:
    r"""Return whether a gold answer is surely a short text: no LaTeX, at most ``MAX_TEXT`` characters.

    >>> [looks_like_text(gold) for gold in ("red", "Eiffel Tower", r"\frac{1}", "?")]
    [True, True, False, False]
    """
    text = read_text(gold)
    if text is None or len(text) > MAX_TEXT or any(mark in text for mark in "\\$^{}"):
        return False
    return any(letter.isalnum() for letter in text)


check_text = checker("a text", read_text, str.__eq__)
"""Checks a short text."""
check_yes_no = checker("yes or no", read_yes_no, bool.__eq__)
"""Checks yes or no; true is yes and false is no."""
