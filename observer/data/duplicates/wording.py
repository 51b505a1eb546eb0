"""When do two questions say the same? Blanks, case and LaTeX's ways to space do not count; all else does."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

from observer.types import IMAGE_MARK, Problem
from observer.verifier.notation import bare, clean, fold, keyboard_signs

SHINGLE = 4
"""Characters of a piece of a question, by which two questions are likened."""
LEAST_ALIKE = 0.6
"""Share of pieces that a question has in common with another one that it is a rewording of."""
KNOWN = 4096
"""Texts whose notation is kept: a row is compared with several others."""

_SPACING = re.compile(
    r"\\(?:[,;:!> ]|q?quad(?![A-Za-z])|(?:left|right|displaystyle|limits)(?![A-Za-z]))|~|\\\\(?=\s)"
)
_DELIMITER = re.compile(r"\\[()\[\]]|\$+")
_FRACTION = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_NEEDLESS = re.compile(r"(?<![^\W\d_])(?<!\d) | (?![^\W_])|(?<=\d) (?!\d)|(?<=[^\W\d_]) (?=\d)")
_NUMBER = re.compile(r"[0-9]+")
_ENDS = " .:;,"


def wording(problem: Problem) -> str:
    r"""Return what a problem asks, in one notation: equal for questions that say the same.

    All turns but the system's count, and the options; where a picture stands in the text does not. Options of
    a choice are sorted, for an answer is known by its text.
    """
    turns = [f"{turn.role}\n{plain(turn.text)}" for turn in problem.turns if turn.role != "system"]
    options = [plain(option) for option in problem.options]
    return "\n\n".join([*turns, *(sorted(options) if problem.kind == "choice" else options)])


@lru_cache(KNOWN)
def plain(text: str) -> str:
    r"""Return a text without differences of blanks, of case and of LaTeX's spacing and delimiters.

    >>> plain("Solve  $x\\,+\\,1 = \\dfrac{1}{2}$ .") == plain("solve \\(x+1=\\frac{1}{2}\\)")
    True
    >>> plain("Add 1 2 and 3"), plain("Add 12 and 3")
    ('add1 2and3', 'add12and3')
    """
    text = keyboard_signs(text.replace(IMAGE_MARK, " "))
    if "\\" in text or "$" in text or "~" in text:
        text = _FRACTION.sub(r"\\frac", _DELIMITER.sub(" ", _SPACING.sub(" ", text)))
    text = " ".join(text.split())
    return _NEEDLESS.sub("", text).strip(_ENDS).casefold()


def pieces(text: str) -> set[str]:
    """Return the pieces of a plain text, all runs of ``SHINGLE`` characters; a shorter text is one piece."""
    return {text[place : place + SHINGLE] for place in range(max(1, len(text) - SHINGLE + 1))}


def reworded(first: str, second: str) -> bool:
    """Return whether two plain texts have most of their pieces in common, and the same numbers.

    One may have numbers more: a line that says how to answer does.

    >>> reworded("a shop has 12 apples, how many?", "a shop has 12 apples, how many are they?")
    True
    >>> reworded("a shop has 12 apples, how many?", "a shop has 13 apples, how many?")
    False
    """
    numbers, others = Counter(_NUMBER.findall(first)), Counter(_NUMBER.findall(second))
    if not (numbers <= others or others <= numbers):
        return False
    one, other = pieces(first), pieces(second)
    return len(one & other) / len(one | other) >= LEAST_ALIKE


def gold_of(problem: Problem) -> str:
    """Return a gold answer in one notation; of a choice whose options are known, the text of the right one.

    Equal texts are equal answers. Answers of other texts may still be equal: ``decide`` asks the verifier.
    """
    letter = bare(clean(problem.answer)).strip("()").upper()
    if problem.kind == "choice" and len(letter) == 1 and 0 <= ord(letter) - 65 < len(problem.options):
        return plain(problem.options[ord(letter) - 65])
    return fold(clean(problem.answer))
