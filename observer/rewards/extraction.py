"""Places where an answer can stand in a text that keeps no format. Each is found in one pass."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from observer.types import RefusedError

Place = Literal["tag", "box", "line"]
"""A key of ``PLACES``."""

_OPENING, _CLOSING = "<answer>", "</answer>"
# Backwards, so that the first box that is found is the last. An odd number of backslashes is a command or an
# escaped brace, an even number so many line breaks.
_BRACES_BACKWARDS = re.compile(r"\{dexob(\\+)|([{}])(\\*)")


def find_answer(text: str, places: Sequence[Place]) -> str | None:
    r"""Return what stands in the first place that is there and not blank, without outer blanks.

    Args:
        text: the response.
        places: where to look, in this order.

    >>> find_answer("I think \\boxed{4}.\nSo it is 4", ("tag", "box", "line"))
    '4'
    >>> find_answer("I think\nit is 4\n", ("tag", "box", "line")), find_answer("4", ())
    ('it is 4', None)
    """
    found = (PLACES[place](text) for place in places)
    return next((answer.strip() for answer in found if answer and answer.strip()), None)


def check_places(places: Sequence[str]) -> None:
    """Refuse a place that does not exist.

    Raises:
        RefusedError: names the place and those that exist.
    """
    for place in places:
        if place not in PLACES:
            raise RefusedError(f"lenient names the place {place!r}; give some of {', '.join(PLACES)}")


def last_tagged(text: str) -> str | None:
    """Return what stands in the last closed ``<answer>`` block; None when there is none.

    >>> last_tagged("<answer>3</answer> or <answer>4</answer></answer> or <answer>5")
    '4'
    """
    start = text.rfind(_OPENING, 0, max(text.rfind(_CLOSING), 0))
    return None if start < 0 else text[start + len(_OPENING) : text.index(_CLOSING, start)]


def last_boxed(text: str) -> str | None:
    r"""Return what stands in the last ``\boxed{..}`` whose brace is closed; None when there is none.

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
        start = size - mark.start()  # behind the brace
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


PLACES: Mapping[Place, Callable[[str], str | None]] = {
    "tag": last_tagged,
    "box": last_boxed,
    "line": last_line,
}
"""Where an answer can stand -> how it is found."""
