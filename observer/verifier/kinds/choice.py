"""Answers that choose an option: by its letter, by its text, or by both. No substring ever decides."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from observer.types import Verdict
from observer.verifier.kinds.expression import same_formula
from observer.verifier.kinds.number import equal, read_number
from observer.verifier.notation import bare, fold, quote

# B or (B), or before a text B. B: B) (B) and a blank; mark and blank keep "a dog" and "a.m" from being A
_LABEL = re.compile(r"(?:\(([A-Za-z])\)[.:、]?|([A-Za-z])(?:[.:)](?!\S)|、))\s*(.*)|([A-Za-z])", re.DOTALL)
_GLUED = re.compile(r"(?:\(([A-Z])\)|([A-Z])[.:)]|([A-Z])[- ])\s*(\S.*)", re.DOTALL)
_BOLD = re.compile(r"(?:\*\*|\\(?:text|textbf|mathrm|mathbf) ?\{)\s*(\(?[A-Za-z]\)?[.:]?)\s*(?:\*\*|\})(\b)?")


@dataclass(frozen=True)
class Choice:
    """Which option a text chooses."""

    index: int
    """0 for A."""
    text: str = ""
    """The option's text as the answer repeats it, folded; empty when the answer is a letter alone."""


def check_choice(gold: str, prediction: str, options: tuple[str, ...]) -> tuple[Verdict, str]:
    """Check a choice: the prediction is the gold option's letter, its text, or both, and nothing else.

    Where a letter and a text stand together they must agree, as far as the options are known. A gold such as
    ``B. circle`` makes its own option's text known.

    >>> check_choice("A", "small", ())[0], check_choice("C", "C. circle", ("square", "dot", "circle"))[0]
    (<Verdict.WRONG: 'wrong'>, <Verdict.CORRECT: 'correct'>)
    """
    texts = tuple(fold(option) for option in options)
    right = read_choice(gold, texts)
    if right is None:
        known = f"fits none of the options {quote(str(options))}" if options else "is no letter of an option"
        return Verdict.UNVERIFIABLE, f"the gold answer {quote(gold)} {known}"
    chosen = read_choice(prediction, texts)
    if not texts and right.text and fold(prediction) == right.text:
        chosen = right
    if chosen is None:
        return Verdict.WRONG, f"{quote(prediction)} chooses no option"
    if chosen.index != right.index:
        return Verdict.WRONG, f"{quote(prediction)} chooses another option than {quote(gold)}"
    if chosen.text and right.text and not same_option(right.text, chosen.text):
        return Verdict.WRONG, f"{quote(prediction)} names another text than {quote(gold)}"
    return Verdict.CORRECT, f"{quote(prediction)} chooses {quote(gold)}"


def read_choice(text: str, texts: tuple[str, ...]) -> Choice | None:
    """Read which option a text chooses; None when it chooses none, or more than one.

    A single letter that labels an option is that label, even where another option's text is that letter.

    Args:
        text: the answer.
        texts: the folded texts of the options, A first; a blank one is unknown, such as a picture;
            empty where all are unknown.

    >>> read_choice("(b)", ()), read_choice("Dot", ("square", "dot"))
    (Choice(index=1, text=''), Choice(index=1, text=''))
    """
    text = _unmarked(text)
    whole = fold(text)
    label = _LABEL.fullmatch(bare(text))
    chosen = Choice(_index(label), fold(label[3] or "")) if label else None
    if chosen is not None and texts and chosen.index >= len(texts):
        chosen = None
    if chosen is not None and not chosen.text:
        return chosen
    if whole and texts.count(whole) == 1:
        return Choice(texts.index(whole))
    if chosen is None and texts and (glued := _GLUED.fullmatch(text)):
        letter, rest = glued[1] or glued[2] or glued[3], fold(glued[4])
        place = ord(letter) - ord("A")
        if place < len(texts) and same_option(texts[place], rest):
            return Choice(place, texts[place])
    if chosen is not None and texts:
        known = texts[chosen.index]
        return chosen if known == "" or same_option(known, chosen.text) else None
    if chosen is None and texts:
        alike = [place for place, option in enumerate(texts) if same_option(option, whole)]
        return Choice(alike[0]) if len(alike) == 1 else None
    return chosen


def same_option(option: str, text: str) -> bool:
    """Return whether a text repeats an option: in its words, as the same number or as the same formula.

    A unit may be missing on one side; nothing is rounded.

    >>> same_option("40 cm", r"40\\text{ cm}"), same_option("2√3", r"2\\sqrt{3}"), same_option("0.6", "0.61")
    (True, True, False)
    """
    if option == text or not option or not text:
        return bool(option) and option == text
    right, given = read_number(option), read_number(text)
    if right is not None and given is not None:
        return equal(replace(right, step=None), replace(given, step=None))
    return right is None and given is None and same_formula(option, text)


def looks_like_choice(gold: str) -> bool:
    """Return whether a gold answer without options is surely a letter: A to J, capital or in parentheses.

    >>> [looks_like_choice(gold) for gold in ("E", "(b)", "B. circle", "x", "red", "a")]
    [True, True, True, False, False, False]
    """
    text = _unmarked(gold)
    label = _LABEL.fullmatch(text)
    return label is not None and _index(label) < 10 and (text[0] == "(" or text[0].isupper())


def _unmarked(text: str) -> str:
    """Take bold and the like off a letter."""
    return _BOLD.sub(lambda match: match[1] + (" " if match[2] is not None else ""), bare(text))


def _index(label: re.Match[str]) -> int:
    return ord((label[1] or label[2] or label[4]).upper()) - ord("A")
