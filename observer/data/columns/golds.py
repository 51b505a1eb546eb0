"""Takes the gold answer out of what another project writes in its answer column."""

from __future__ import annotations

import re
from collections.abc import Sequence

from observer.data.columns.literals import list_in
from observer.refusal import shown
from observer.types import RefusedError

_TAG = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_LETTERS = re.compile(r"\s*(?:\(([A-J](?:\s*,\s*[A-J])*)\)|([A-J](?:\s*,\s*[A-J])*)(?![^\s.:;)：；-]))")
LONGEST = 100_000
"""Characters of an answer above which nothing is looked for in it."""


def gold_in(text: str, after: Sequence[str], take: Sequence[str], options: Sequence[str]) -> str:
    r"""Return the value in an answer.

    Args:
        text: the answer column's.
        after: texts in front of the value, to cut off.
        take: rules of ``ColumnMap.take``; the first that finds something counts.
        options: of the row's choice, for ``letters``.

    Raises:
        RefusedError: there are several different values.

    >>> gold_in("The answer is B.", ["The answer is"], [], ())
    'B.'
    >>> gold_in("<answer> $7$ </answer>", [], ["tag"], ()), gold_in(r"\answer{69.5} As ..", [], ["macro"], ())
    ('$7$', '69.5')
    >>> gold_in("(C) Because the slope ..", [], ["letters"], ("steep", "flat", "none"))
    'C'
    >>> gold_in("['3.5']", [], ["list"], ())
    '3.5'
    """
    text = text.strip()
    for prefix in after:
        if text.casefold().startswith(prefix.casefold()):
            text = text[len(prefix) :].lstrip(" :\n").strip()
    if len(text) > LONGEST:
        return text
    for rule in take:
        if rule == "letters":
            found = [match[1] or match[2]] if options and (match := _LETTERS.match(text)) else []
        elif rule == "list":
            found = [str(value).strip() for value in list_in(text) or ()]
        elif rule == "tag":
            found = [match.strip() for match in _TAG.findall(text)]
        else:
            found = _braced(text, r"\boxed" if rule == "boxed" else r"\answer")
            found = found[-1:] if rule == "boxed" else found  # a solution boxes what it ends with
        if len(set(found)) > 1:
            raise RefusedError(f"its answer holds {len(set(found))} values: {shown(found)}; write one")
        if found and found[0]:
            return found[0]
    return text


def is_letter(answer: object) -> bool:
    """Return whether an answer is the letter of an option and nothing more.

    >>> is_letter("(B)"), is_letter("B."), is_letter("Both"), is_letter(3)
    (True, True, False, False)
    """
    return isinstance(answer, str) and re.fullmatch(r"\s*\(?[A-J]\)?\.?\s*", answer) is not None


def _braced(text: str, macro: str) -> list[str]:
    """Return the contents of a LaTeX macro's braces, each time that it is used with all of them."""
    found = []
    start = text.find(macro + "{")
    while start >= 0:
        begin = start + len(macro) + 1
        depth, end = 1, begin
        while end < len(text) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        if depth:
            break  # the braces are never closed, those of what comes later are not either
        found.append(text[begin : end - 1].strip())
        start = text.find(macro + "{", end)
    return found
