"""Reads lists that a text holds as Python prints them, ``['$6', '$7']``: values alone, nothing runs."""

from __future__ import annotations

import ast
import warnings

LONGEST = 20_000
"""Characters of a text above which it is no list."""


def list_in(text: str) -> list[object] | None:
    """Return the list that a whole text is; None if it is none.

    >>> list_in("['$6', '$7']"), list_in("[]"), list_in("[1, 2"), list_in("x in [1, 2]")
    (['$6', '$7'], [], None, None)
    """
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")) or len(text) > LONGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of backslashes that stand for nothing: LaTeX
            found = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return found if isinstance(found, list) else None
