"""Answers that choose options: by letters, by texts, or by both. No substring ever decides."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from observer.types import Verdict
from observer.verifier.kinds.expression import same_formula
from observer.verifier.kinds.number import equal, read_number
from observer.verifier.notation import bare, fold, quote

# B or (B), or before a text B. B: B) (B) and a blank; mark and blank keep "a dog" and "a.m" from being A
_LABEL = re.compile(
    r"(?:\(([A-Za-z])\)[.:、]?|([A-Za-z])(?:[.:)](?!\S)|、(?![A-Z](?:、|$))))\s*(.*)|([A-Za-z])", re.DOTALL
)
_GLUED = re.compile(r"(?:\(([A-Z])\)|([A-Z])[.:)]|([A-Z])\s*[-, ])\s*(\S.*)", re.DOTALL)
_NAMED = re.compile(
    r"(?:option|choice|选项?|答案[是为]?|故选|应选)\s*:?\s*(\(?[A-Z]\)?)(?:选项)?[.,]?|\[([A-Z])\]|([A-Z])(?:选项|,)",
    re.IGNORECASE,
)
_BOLD = re.compile(r"(?:\*\*|\\(?:text|textbf|mathrm|mathbf) ?\{)\s*(\(?[A-Za-z]\)?[.:]?)\s*(?:\*\*|\})(\b)?")

_TWO_FORMS = re.compile(
    r"^(?=.*(?<![A-Za-z])([A-Za-z])(?![A-Za-z]))(?=.*(?<![A-Za-z])(?!\1)(?i:\1)(?![A-Za-z])).*", re.DOTALL
)
MAX_CHOICES = 26
"""Options that one answer may choose at most."""
LONGEST_OPTION = 1000
"""Characters of an option that is read as a number or a formula; an answer has no more."""

_ROW = re.compile(r"[A-Z]{2,26}|[A-Z](?: [A-Z]){1,25}|(?:\([A-Za-z]\)\s*){2,26}")
_AND = re.compile(r"\s*[,;、]\s*(?:and\s+)?|\s+(?:and|&)\s+|\s*[\n&]\s*", re.IGNORECASE)
_BRACKETS = ("[]", "{}", "()")


@dataclass(frozen=True)
class Choice:
    """Which option a text chooses."""

    index: int
    """0 for A."""
    text: str = ""
    """The option's text as the answer repeats it; empty when the answer is a letter alone."""


def check_choice(gold: str, prediction: str, options: tuple[str, ...]) -> tuple[Verdict, str]:
    """Check a choice: the prediction is the gold option's letter, its text, or both, and nothing else.

    Where a letter and a text stand together they must agree, as far as the options are known. A gold such as
    ``B. circle`` makes its own option's text known.

    >>> check_choice("A", "small", ())[0], check_choice("C", "C. circle", ("square", "dot", "circle"))[0]
    (<Verdict.WRONG: 'wrong'>, <Verdict.CORRECT: 'correct'>)
    """
    right = read_choice(gold, options)
    if right is None:
        known = f"fits none of the options {quote(str(options))}" if options else "is no letter of an option"
        return Verdict.UNVERIFIABLE, f"the gold answer {quote(gold)} {known}"
    chosen = read_choice(prediction, options)
    if not options and right.text and fold(prediction) == fold(right.text):
        chosen = right
    if chosen is None:
        return Verdict.WRONG, f"{quote(prediction)} chooses no option"
    if chosen.index != right.index:
        return Verdict.WRONG, f"{quote(prediction)} chooses another option than {quote(gold)}"
    if chosen.text and right.text and not same_option(right.text, chosen.text):
        return Verdict.WRONG, f"{quote(prediction)} names another text than {quote(gold)}"
    return Verdict.CORRECT, f"{quote(prediction)} chooses {quote(gold)}"


def read_choice(text: str, options: tuple[str, ...]) -> Choice | None:
    """Read which option a text chooses; None when it chooses none, or more than one.

    A single letter that labels an option is that label, even where another option's text is that letter.

    Args:
        text: the answer.
        options: the texts of the options, A first; a blank one is unknown, such as a picture; empty where all
            are unknown.

    >>> read_choice("(b)", ()), read_choice("Dot", ("square", "dot"))
    (Choice(index=1, text=''), Choice(index=1, text=''))
    """
    text = _unmarked(text)
    texts = tuple(map(fold, options))
    whole = fold(text)
    label = _LABEL.fullmatch(bare(text))
    chosen = Choice(_index(label), label[3] or "") if label else None
    if chosen is not None and texts and chosen.index >= len(texts):
        chosen = None
    if chosen is not None and not chosen.text:
        return chosen
    if whole and texts.count(whole) == 1 and same_option(options[texts.index(whole)], text):
        return Choice(texts.index(whole))
    if chosen is None and texts and (glued := _GLUED.fullmatch(text)):
        place = ord(glued[1] or glued[2] or glued[3]) - ord("A")
        if place < len(texts) and same_option(options[place], glued[4]):
            return Choice(place, options[place])
    if chosen is not None and texts:
        return chosen if not texts[chosen.index] or same_option(options[chosen.index], chosen.text) else None
    if chosen is None and texts:
        alike = [place for place, option in enumerate(options) if same_option(option, text)]
        return Choice(alike[0]) if len(alike) == 1 else None
    return chosen


def same_option(option: str, text: str) -> bool:
    r"""Return whether a text repeats an option: in its words, as the same number or as the same formula.

    A unit may be missing on one side; nothing is rounded.

    >>> same_option("40 cm", r"40\text{ cm}"), same_option("2√3", r"2\sqrt{3}"), same_option("0.6", "0.61")
    (True, True, False)
    """
    words = fold(option), fold(text)
    if not all(words) or words[0] == words[1]:
        # R - r is not r - R: where a formula has both forms of a letter, they are two.
        both = _TWO_FORMS.search(option) is not None
        return words[0] == words[1] != "" and (not both or "".join(option.split()) == "".join(text.split()))
    if "".join(option.split()) == "".join(text.split()):
        return True
    if len(option) > LONGEST_OPTION:
        return False
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


def check_multi_select(gold: str, prediction: str, options: tuple[str, ...]) -> tuple[Verdict, str]:
    """Check a choice of several options: the same ones, no more and no fewer, in any order.

    >>> check_multi_select("A, C", "(C) and (A)", ())[0], check_multi_select("A, C", "A", ())[0]
    (<Verdict.CORRECT: 'correct'>, <Verdict.WRONG: 'wrong'>)
    """
    right = read_choices(gold, options)
    if right is None:
        known = f"fits none of the options {quote(str(options))}" if options else "chooses no options"
        return Verdict.UNVERIFIABLE, f"the gold answer {quote(gold)} {known}"
    chosen = read_choices(prediction, options)
    if chosen is None:
        return Verdict.WRONG, f"{quote(prediction)} chooses no options"
    if chosen.keys() != right.keys():
        return Verdict.WRONG, f"{quote(prediction)} chooses other options than {quote(gold)}"
    if any(text and right[index] and not same_option(right[index], text) for index, text in chosen.items()):
        return Verdict.WRONG, f"{quote(prediction)} names another text than {quote(gold)}"
    return Verdict.CORRECT, f"{quote(prediction)} chooses {quote(gold)}"


def read_choices(text: str, options: tuple[str, ...]) -> dict[int, str] | None:
    """Read which options a text chooses: index -> text, empty for a letter alone. None for no options.

    Args:
        text: the answer: letters or texts set apart by commas, semicolons or ``and``, or capitals in a row.
        options: the texts of the options, A first; empty where all are unknown.

    >>> read_choices("ac", ()), read_choices("AC", ()), read_choices("dot; A", ("square", "dot"))
    (None, {0: '', 2: ''}, {1: '', 0: ''})
    """
    one = read_choice(text, options)
    if one is not None and not one.text:
        return {one.index: ""}
    inner = bare(text)
    if inner[:1] + inner[-1:] in _BRACKETS and not any(bracket in inner[1:-1] for bracket in "()[]{}"):
        inner = inner[1:-1].strip()
    glued = _ROW.fullmatch(inner)
    pieces = re.findall("[A-Za-z]", inner) if glued else _AND.split(inner)
    choices = [read_choice(piece, options) for piece in pieces] if len(pieces) <= MAX_CHOICES else []
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


def _unmarked(text: str) -> str:
    """Take bold and the like, and the word option, off a letter."""
    text = _BOLD.sub(lambda match: match[1] + (" " if match[2] is not None else ""), bare(text))
    named = _NAMED.fullmatch(text)
    return text if named is None else named[1] or named[2] or named[3]


def _index(label: re.Match[str]) -> int:
    return ord((label[1] or label[2] or label[4]).upper()) - ord("A")
