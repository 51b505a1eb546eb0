"""Answers that choose several options, by letters or texts, in any order."""

from __future__ import annotations

import re

from observer.types import Verdict
from observer.verifier.kinds.choice import looks_like_choice, read_choice, same_option
from observer.verifier.notation import bare, fold, quote

MAX_CHOICES = 26
"""Options that one answer may choose at most."""

_GLUED = re.compile(r"[A-Z]{2,26}|[A-Z](?: [A-Z]){1,25}|(?:\([A-Za-z]\)\s*){2,26}")
_AND = re.compile(r"\s*[,;]\s*(?:and\s+)?|\s+(?:and|&)\s+|\s*[\n&]\s*", re.IGNORECASE)
_BRACKETS = ("[]", "{}", "()")


def check_multi_select(gold: str, prediction: str, options: tuple[str, ...]) -> tuple[Verdict, str]:
    """Check a choice of several options: the same ones, no more and no fewer, in any order.

    >>> check_multi_select("A, C", "(C) and (A)", ())[0], check_multi_select("A, C", "A", ())[0]
    (<Verdict.CORRECT: 'correct'>, <Verdict.WRONG: 'wrong'>)
    """
    texts = tuple(fold(option) for option in options)
    right = read_choices(gold, texts)
    if right is None:
        known = f"fits none of the options {quote(str(options))}" if options else "chooses no options"
        return Verdict.UNVERIFIABLE, f"the gold answer {quote(gold)} {known}"
    chosen = read_choices(prediction, texts)
    if chosen is None:
        return Verdict.WRONG, f"{quote(prediction)} chooses no options"
    if chosen.keys() != right.keys():
        return Verdict.WRONG, f"{quote(prediction)} chooses other options than {quote(gold)}"
    if any(text and right[index] and not same_option(right[index], text) for index, text in chosen.items()):
        return Verdict.WRONG, f"{quote(prediction)} names another text than {quote(gold)}"
    return Verdict.CORRECT, f"{quote(prediction)} chooses {quote(gold)}"


def read_choices(text: str, texts: tuple[str, ...]) -> dict[int, str] | None:
    """Read which options a text chooses: index -> text, empty for a letter alone. None for no options.

    Args:
        text: the answer: letters or texts set apart by commas, semicolons or ``and``, or capitals in a row.
        texts: the folded texts of the options, A first; empty where all are unknown.

    >>> read_choices("ac", ()), read_choices("AC", ()), read_choices("dot; A", ("square", "dot"))
    (None, {0: '', 2: ''}, {1: '', 0: ''})
    """
    one = read_choice(text, texts)
    if one is not None and not one.text:
        return {one.index: ""}
    inner = bare(text)
    if inner[:1] + inner[-1:] in _BRACKETS and not any(bracket in inner[1:-1] for bracket in "()[]{}"):
        inner = inner[1:-1].strip()
    glued = _GLUED.fullmatch(inner)
    pieces = re.findall("[A-Za-z]", inner) if glued else _AND.split(inner)
    choices = [read_choice(piece, texts) for piece in pieces] if len(pieces) <= MAX_CHOICES else []
    found = {choice.index: choice.text for choice in choices if choice is not None}
    if choices and None not in choices:
        return found
    return None if one is None else {one.index: one.text}


def looks_like_choices(gold: str) -> bool:
    """Return whether a gold answer without options is surely several letters: set apart, each a sure choice.

    >>> [looks_like_choices(gold) for gold in ("A, C", "B and D", "AC", "A", "x, y", "A, A")]
    [True, True, False, False, False, False]
    """
    pieces = _AND.split(bare(gold), MAX_CHOICES)
    return 1 < len(set(pieces)) == len(pieces) and all(
        looks_like_choice(piece) and len(piece) <= 3 for piece in pieces
    )
