"""Extraction of the answer from a response that does not keep its format. Each takes linear time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from observer.types import RefusedError

Extraction = Literal["tag", "box", "line"]
"""A key of ``EXTRACTIONS``."""

_OPENING, _CLOSING = "<answer>", "</answer>"
# Backwards, so that the first box that is found is the last. An odd number of backslashes is a command or an
# escaped brace, an even number so many line breaks.
_BRACES_BACKWARDS = re.compile(r"\{dexob(\\+)|([{}])(\\*)")


def find_answer(text: str, extractions: Sequence[Extraction]) -> str | None:
    r"""Return the first answer that is found and not blank, without outer blanks.

    Args:
        text: the response.
        extractions: which are tried, in this order.

    >>> find_answer("I think \\boxed{4}.\nSo it is 4", ("tag", "box", "line"))
    '4'
    >>> find_answer("I think\nit is 4\n", ("tag", "box", "line")), find_answer("4", ())
    ('it is 4', None)
    """
    found = (EXTRACTIONS[extraction](text) for extraction in extractions)
    return next((answer.strip() for answer in found if answer and answer.strip()), None)


def check_extractions(extractions: Sequence[str]) -> None:
    """Refuse an extraction that does not exist.

    Raises:
        RefusedError: names the extraction and those that exist.
    """
    for extraction in extractions:
        if extraction not in EXTRACTIONS:
            known = ", ".join(EXTRACTIONS)
            raise RefusedError(f"lenient names the extraction {extraction!r}; give some of {known}")


def last_tagged(text: str) -> str | None:
    """Return the text of the last closed ``<answer>`` block; None when there is none.

    >>> last_tagged("<answer>3</answer> or <answer>4</answer></answer> or <answer>5")
    '4'
    """
    start = text.rfind(_OPENING, 0, max(text.rfind(_CLOSING), 0))
    return None if start < 0 else text[start + len(_OPENING) : text.index(_CLOSING, start)]


def last_boxed(text: str) -> str | None:
    r"""Return the content of the last ``\boxed{..}`` whose brace is closed; None when there is none.

    >>> last_boxed(r"\boxed{x_{1}} then \boxed{cut of")
    'x_{1}'
    """
    if "\\boxed{" not in text:
        return None
    size = text.rfind("}") + 1
    closed: list[int] = []  # where the content of each closed brace ends
    for mark in _BRACES_BACKWARDS.finditer(text[size - 1 :: -1] if size else ""):
        command, brace, escapes = mark.groups()
        if brace is not None and len(escapes) % 2:
            continue
        start = size - mark.start()  # after the brace
        if brace == "}":
            closed.append(start - 1)
        elif closed:
            end = closed.pop()
            if command is not None and len(command) % 2:
                return text[start:end]
    return None


def last_line(text: str) -> str:
    r"""Return the last line that is not blank.

    >>> last_line("so\n 7 \n\n")
    ' 7'
    """
    return text.rstrip().rpartition("\n")[2]


EXTRACTIONS: Mapping[Extraction, Callable[[str], str | None]] = {
    "tag": last_tagged,
    "box": last_boxed,
    "line": last_line,
}
"""Name of an extraction -> its function."""
