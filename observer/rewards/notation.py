"""How one answer can be written: blanks, LaTeX wrappers, minus signs. It reads no meaning."""

from __future__ import annotations

MAX_WRAPPERS = 8
"""Wrappers taken off at most, so that no nesting costs more than this many passes."""

_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))
_COMMANDS = (r"\boxed{", r"\text{", r"\textbf{", r"\mathrm{", r"\mathbf{")


def bare(text: str) -> str:
    r"""Take off outer blanks, maths delimiters, ``\boxed{}``, ``\text{}`` and a trailing period.

    The minus sign U+2212 becomes a hyphen. Nothing inside the text is changed otherwise.

    >>> bare(r" $\boxed{\text{B}.}$. ")
    'B'
    >>> bare("$1$ or $2$")
    '$1$ or $2$'
    """
    text = text.strip().replace("\u2212", "-")
    for _ in range(MAX_WRAPPERS):
        before = text
        if text.endswith(".") and not text.endswith(".."):
            text = text[:-1].rstrip()
        text = _unwrap(text)
        if text == before:
            break
    return text


def fold(text: str) -> str:
    """Return the bare text without differences of case and of blanks.

    >>> fold("The  Red  square.")
    'the red square'
    """
    return " ".join(bare(text).split()).casefold()


def quote(text: str) -> str:
    """Return the text as messages show it: escaped, and cut when it is long."""
    return repr(text) if len(text) <= 60 else f"{text[:60]!r} .. ({len(text)} characters)"


def _unwrap(text: str) -> str:
    for opening, closing in _DELIMITERS:
        inner = text[len(opening) : len(text) - len(closing)]
        if text == opening + inner + closing and closing not in inner:
            return inner.strip()
    for command in _COMMANDS:
        if text.startswith(command) and _closes_at_end(text, len(command)):
            return text[len(command) : -1].strip()
    return text


def _closes_at_end(text: str, start: int) -> bool:
    """Say whether the brace that was opened just before ``start`` is closed by the last character."""
    depth = 1
    for position in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position == len(text) - 1
    return False
