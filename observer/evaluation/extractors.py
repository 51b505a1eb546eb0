"""Three ways to find the answer in a response, side by side: what harnesses differ by."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Literal

from observer.rewards.extraction import last_boxed, last_line, last_tagged

Extractor = Literal["tag", "boxed", "last"]
"""A key of ``EXTRACTORS``."""

_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?")
_LETTER = re.compile(r"(?<![A-Za-z0-9'])\(?([A-Z])\)?(?![A-Za-z0-9'])")


def last_value(text: str, kind: str) -> str | None:
    r"""Return the last letter of an option, the last number, or the last line, as the kind of answer needs.

    >>> last_value("Of (A) and B it is B, since 3 > 2.", "choice")
    'B'
    >>> last_value("2 + 3 = 5, so 5.", "integer"), last_value("nothing", "integer")
    ('5', None)
    >>> last_value("It is\na red ball\n", "text")
    'a red ball'
    """
    if kind in ("choice", "multi_select"):
        found = _LETTER.findall(text)
        return found[-1] if found else None
    if kind in ("integer", "number"):
        numbers = _NUMBER.findall(text)
        return numbers[-1].rstrip(",") if numbers else None
    return last_line(text).strip() or None


EXTRACTORS: Mapping[Extractor, Callable[[str, str], str | None]] = {
    "tag": lambda text, _: last_tagged(text),
    "boxed": lambda text, _: last_boxed(text),
    "last": last_value,
}
"""Name -> function of a response and the kind of its answer: the strict tag, the box, the last value."""
