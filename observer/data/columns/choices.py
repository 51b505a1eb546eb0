"""Reads the options of a choice from a list, or from a text such as ``A. 3; B. 4`` or ``(A) 3 (B) 4``."""

from __future__ import annotations

import re
from collections.abc import Sequence

from observer.data.columns.literals import list_in
from observer.data.columns.paths import MISSING, empty
from observer.refusal import shown
from observer.types import RefusedError

LETTERS = "ABCDEFGHIJ"
_MARK = re.compile(r"\(([A-J])\)|(?:^|(?<=[\s;；,]))([A-J])(?:[.)：、．:])(?=\s|[^\sA-Za-z]|[A-Za-z])")
_LINE_MARK = re.compile(r"^[ \t]*(?:\(([A-J])\)|([A-J])[.)：、．:])", re.MULTILINE)
_LISTED = re.compile(r"\b(?:Options|Choices)\s*:\s*")
_ENDS = " \t\n;；"


def options_of(value: object) -> tuple[str, ...]:
    """Return the options of a column, A first.

    Raises:
        RefusedError: it is no list of texts, no text with letters, and no object of letters.

    >>> options_of("A. 300, 400;B. 400, 300; C. No correct answer")
    ('300, 400', '400, 300', 'No correct answer')
    >>> options_of({"A": "red", "B": "blue"}), options_of([3, 4.5])
    (('red', 'blue'), ('3', '4.5'))
    >>> options_of("['red', '<image 2>']"), options_of("[]")
    (('red', '<image 2>'), ())
    """
    if isinstance(value, str) and (written := list_in(value)) is not None:
        if not written:
            return ()
        value = written
    if isinstance(value, dict):
        given = {key: item for key, item in value.items() if not empty(item)}
        if tuple(given) == tuple(LETTERS[: len(given)]):
            value = list(given.values())
    if isinstance(value, str):
        if found := _read(value, [match for match in _MARK.finditer(value)], whole=True):
            return found
    elif isinstance(value, list):
        texts = [
            str(item) if isinstance(item, int | float) and not isinstance(item, bool) else item
            for item in value
        ]
        if all(isinstance(item, str) and item.strip() for item in texts):
            return tuple(texts)
    raise RefusedError(f"options are {shown(value)}; write a list of texts, or a text such as 'A. 3; B. 4'")


def options_of_each(values: Sequence[object]) -> tuple[str, ...]:
    """Return the options of columns that hold one each; those at the end may be empty.

    Raises:
        RefusedError: an empty one has others behind it, or one is no text.

    >>> options_of_each(["red", 4, None, "nan"]), options_of_each([None, float("nan")])
    (('red', '4'), ())
    """
    given = [None if _is_none(value) else value for value in values]
    while given and given[-1] is None:
        given.pop()
    if not given:
        return ()
    if None in given:
        raise RefusedError(
            f"option {LETTERS[given.index(None)]} is empty, and {LETTERS[len(given) - 1]} is not"
        )
    return options_of(given)


def _is_none(value: object) -> bool:
    return (
        value is MISSING
        or empty(value)
        or (isinstance(value, str) and value.strip().casefold() in ("", "nan"))
    )


def options_in(question: str) -> tuple[str, ...]:
    r"""Return the options that stand at the end of a question's text; empty where there are none.

    >>> options_in("At which value is f not differentiable?\n\nA. a\nB. b\nC. c")
    ('a', 'b', 'c')
    >>> options_in("Find AB. Choices: (A) 3 (B) 4"), options_in("Is A. larger?")
    (('3', '4'), ())
    >>> options_in("Which?\nOptions: A: red., B: green, C: 1, 2")
    ('red.', 'green', '1, 2')
    """
    found = _read(question, [match for match in _LINE_MARK.finditer(question)]) or _read(
        question, [match for match in re.finditer(r"\(([A-J])\)()", question)]
    )
    if not found and (begins := list(_LISTED.finditer(question))):
        listed = question[begins[-1].end() :]
        found = _read(listed, [match for match in _MARK.finditer(listed)], whole=True)
        found = (*(option.rstrip(",") for option in found[:-1]), *found[-1:])
    return found if all(found) else ()


def shown_with(question: str, options: Sequence[str]) -> str:
    r"""Return a question with its options below it, unless they are their own letters.

    >>> shown_with("Which?", ("red", "blue"))
    'Which?\n(A) red\n(B) blue'
    """
    if [option.strip() for option in options] == list(LETTERS[: len(options)]) or not options:
        return question
    lines = [f"({letter}) {option.strip()}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([question.rstrip(), *lines])


def _read(text: str, marks: Sequence[re.Match[str]], whole: bool = False) -> tuple[str, ...]:
    """Return the texts behind the marks A, B, C .. in order: of the last A that a B follows.

    Args:
        text: that holds them.
        marks: letters of options in it.
        whole: the text is a list of options, which begins with A.
    """
    letters = [match[1] or match[2] for match in marks]
    starts = [place for place, letter in enumerate(letters) if letter == "A"]
    for start in starts[:1] if whole else reversed(starts):
        chain = [marks[start]]
        for match, letter in zip(marks[start + 1 :], letters[start + 1 :], strict=True):
            if letter == LETTERS[min(len(chain), len(LETTERS) - 1)] and len(chain) < len(LETTERS):
                chain.append(match)
        if len(chain) < 2 or (whole and text[: chain[0].start()].strip()):
            continue
        ends = [*(match.start() for match in chain[1:]), len(text)]
        found = [text[match.end() : end].strip(_ENDS) for match, end in zip(chain, ends, strict=True)]
        if all(found):
            return tuple(found)
    return ()
