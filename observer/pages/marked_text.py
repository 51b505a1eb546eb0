"""Prepares a response for a page of fixed-width type: shortens it, colours its tags, breaks it into lines.

Places are characters and columns here; ``completions_page`` turns them into pixels, ``review_page`` into
HTML.
"""

from __future__ import annotations

import re

from observer.types import Verdict

Colour = tuple[int, int, int]

INK: Colour = (31, 35, 40)
FAINT: Colour = (110, 119, 129)
TAG_COLOURS: dict[str, tuple[Colour, Colour]] = {
    "observe": ((9, 105, 218), (10, 58, 112)),
    "think": ((130, 80, 223), (70, 40, 125)),
    "answer": ((188, 76, 0), (115, 45, 0)),
}
"""Colours of a tag and of the text between it and its end."""
VERDICT_COLOURS: dict[Verdict, Colour] = {
    Verdict.CORRECT: (26, 127, 55),
    Verdict.WRONG: (207, 34, 46),
    Verdict.UNVERIFIABLE: FAINT,
}
LEFT_OUT = "[... {:,} characters left out ...]"
NEW_LINE_COST = 60
"""Characters that a new line counts for."""

_MARK = re.compile(rf"<(/?)({'|'.join(TAG_COLOURS)})>|\[\.\.\. [\d,]+ characters left out \.\.\.\]")
_CONTROL = {code: "\N{REPLACEMENT CHARACTER}" for code in (*range(32), 127) if chr(code) != "\n"} | {
    ord("\t"): "    "
}


def shorten(text: str, budget: int) -> str:
    r"""Cut a text in the middle, and say there how many characters are left out.

    Args:
        text: of any length.
        budget: characters to keep, a new line counting as ``NEW_LINE_COST``; two thirds from the start.

    >>> shorten("abcdefghi", 9)
    'abcdefghi'
    >>> shorten("abcdefghij", 9)
    'abcdef\n[... 1 characters left out ...]\nhij'
    """
    if len(text) + text.count("\n") * NEW_LINE_COST <= budget or _affordable(text, budget) == len(text):
        return text
    head = _affordable(text, budget - budget // 3)
    tail = len(text) - _affordable(text[-budget:][::-1], budget // 3)
    return f"{text[:head]}\n{LEFT_OUT.format(tail - head)}\n{text[tail:]}"


def _affordable(text: str, budget: int) -> int:
    """Return how many leading characters fit a budget."""
    for place, character in enumerate(text):
        budget -= NEW_LINE_COST if character == "\n" else 1
        if budget < 0:
            return place
    return len(text)


def printable(text: str) -> str:
    r"""Replace characters that a font cannot draw: tabs by blanks, control characters by a mark.

    >>> printable("a\tb\r\nc\0")
    'a    b\nc�'
    """
    return text.replace("\r\n", "\n").translate(_CONTROL)


def colours(text: str) -> list[Colour]:
    """Return the colour of each character: tags, the text in them, and the note that text was left out.

    >>> [colours("<think>7</think>.")[place] == TAG_COLOURS["think"][0] for place in (0, 7, 8, 16)]
    [True, False, True, False]
    """
    painted: list[Colour] = []
    ground = INK
    for mark in _MARK.finditer(text):
        painted += [ground] * (mark.start() - len(painted))
        ending, tag = mark.groups()
        painted += [TAG_COLOURS[tag][0] if tag else FAINT] * len(mark.group())
        if tag:
            ground = INK if ending else TAG_COLOURS[tag][1]
    return painted + [ground] * (len(text) - len(painted))


def lines(text: str, columns: int) -> list[slice]:
    r"""Break a text into lines, at blanks where there are any.

    Args:
        text: new lines break it too.
        columns: the most characters of a line.

    Returns:
        The span of each line in the text.

    >>> [text[line] for text in ["two words\n\nlongest"] for line in lines(text, 6)]
    ['two', 'words', '', 'longes', 't']
    """
    found, start = [], 0
    for paragraph in text.split("\n"):
        end = start + len(paragraph)
        while end - start > columns:
            blank = text.rfind(" ", start + 1, start + columns + 1)
            stop = blank if blank > start else start + columns
            found.append(slice(start, stop))
            start = stop + (text[stop] == " ")
        found.append(slice(start, end))
        start = end + 1
    return found
