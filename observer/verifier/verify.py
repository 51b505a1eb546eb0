"""The verdict on one answer. Answers are typed: each kind has one checker in a table.

The answer has already been found in the response. Neither torch nor a tokenizer is needed, so that this can
run in a process of its own. Any answer gets a verdict and raises nothing, in time linear in its length; an
answer longer than ``MAX_LENGTH`` is not read.
"""

from __future__ import annotations

import re
from itertools import pairwise

from observer.types import RefusedError, Verdict
from observer.verifier.kinds.checker import Checker
from observer.verifier.kinds.choice import (
    check_choice,
    check_multi_select,
    looks_like_choice,
    looks_like_choices,
)
from observer.verifier.kinds.expression import (
    check_expression,
    gold_fault,
    looks_like_expression,
    same_formula,
)
from observer.verifier.kinds.number import check_integer, check_number
from observer.verifier.kinds.ratio import check_ratio, looks_like_ratio
from observer.verifier.kinds.sequences import (
    check_interval,
    check_list,
    check_set,
    check_tuple,
    infer_sequence,
    looks_like_list,
)
from observer.verifier.kinds.time_of_day import check_time
from observer.verifier.kinds.units import is_symbol
from observer.verifier.kinds.words import MAX_TEXT, check_text, check_yes_no, looks_like_text
from observer.verifier.labels import Said, is_answer, said, without_names, without_words
from observer.verifier.notation import bare, clean, has_control, quote

MAX_LENGTH = 1000
"""Longest answer that is looked at, in characters without outer blanks."""

KINDS: dict[str, Checker] = {
    "integer": check_integer,
    "number": check_number,
    "choice": check_choice,
    "multi_select": check_multi_select,
    "yes_no": check_yes_no,
    "time": check_time,
    "ratio": check_ratio,
    "tuple": check_tuple,
    "interval": check_interval,
    "set": check_set,
    "list": check_list,
    "expression": check_expression,
    "text": check_text,
}
"""Kind of answer -> its checker."""

ISOLATED: frozenset[str] = frozenset({"expression"})
"""Kinds whose checkers may need any time or memory: they run in processes that can be killed."""


def verify(
    gold: str, prediction: str | None, kind: str, options: tuple[str, ...] = ()
) -> tuple[Verdict, str]:
    r"""Compare a prediction with the gold answer. The gold answer comes first.

    Args:
        gold: the right answer, as its source writes it.
        prediction: the answer found in the response; None when there was none.
        kind: how answers are compared, a key of ``KINDS``.
        options: the texts of a choice's options, A first; empty where they are unknown.

    Returns:
        The verdict and the reason. A gold answer that the kind cannot read is unverifiable, whatever the
            prediction.

    Raises:
        RefusedError: the kind does not exist.

    >>> verify("1/4", r" \frac{1}{4} ", "number")[0]
    <Verdict.CORRECT: 'correct'>
    >>> verify("red", "red", "choice")
    (<Verdict.UNVERIFIABLE: 'unverifiable'>, "the gold answer 'red' is no letter of an option")
    """
    if kind not in KINDS:
        raise RefusedError(f"kind of answer {kind!r} does not exist; use one of {', '.join(KINDS)}")
    fault = _fault(gold, "gold answer")
    if fault:
        return Verdict.UNVERIFIABLE, fault
    fault = _fault(prediction or "", "answer")
    prediction = "" if fault else clean(prediction or "")
    if not fault and not prediction:
        fault = "there is no answer"
    options = tuple(map(clean, options))
    gold = _gold(gold, kind, options)
    verdict, reason = _check(gold, prediction, kind, options)
    return (Verdict.WRONG, fault) if fault and verdict is not Verdict.UNVERIFIABLE else (verdict, reason)


def _gold(gold: str, kind: str, options: tuple[str, ...]) -> str:
    """Return a gold answer without the words that name it, where only that can be read as its kind."""
    gold = clean(gold)
    bald = without_words(gold)
    if bald == gold or kind in ("text", "yes_no") or gold in options:
        return gold
    return bald if kind in ISOLATED or not _reads(gold, kind, options) else gold


def _check(gold: str, prediction: str, kind: str, options: tuple[str, ...]) -> tuple[Verdict, str]:
    """Check a prediction as it is, then what it says its value is."""
    found = KINDS[kind](gold, prediction, options)
    if found[0] is not Verdict.WRONG or not _SAYS.search(prediction):
        return found
    if kind not in _WORDY or is_answer(prediction):
        bald = without_words(prediction)
        if bald != bare(prediction):
            found = KINDS[kind](gold, bald, options)
            prediction = bald if found[0] is Verdict.CORRECT else prediction
    statement = said(prediction) if kind in _NAMED else None
    if found[0] is Verdict.CORRECT or kind not in _NAMED:
        return found
    if statement is not None and _all_right(gold, statement, kind):
        return Verdict.CORRECT, f"{quote(prediction)} equals {quote(gold)}"
    if kind in _SEVERAL and (unnamed := without_names(prediction)) != prediction:
        return KINDS[kind](gold, unnamed, options)
    exact = kind == "number" and _IRRATIONAL.search(prediction) is not None
    if (exact or _LITERAL.search(prediction)) and same_formula(gold, prediction):
        return Verdict.CORRECT, f"{quote(prediction)} equals {quote(gold)}"
    return found


def _all_right(gold: str, statement: Said, kind: str) -> bool:
    """Return whether every value that is given is right, and every approximation that of a right one."""
    right = KINDS[kind]
    values = statement.values
    read = [right(gold, value, ())[0] is Verdict.CORRECT or same_formula(gold, value) for value in values]
    alike = all(right(one, other, ())[0] is not Verdict.WRONG for one, other in pairwise(values))
    near = all(right(value, values[0], ())[0] is Verdict.CORRECT for value in statement.approximations)
    return bool(values) and all(read) and alike and near and right(gold, values[-1], ())[0] is Verdict.CORRECT


def refuse_unverifiable(gold: str, kind: str, options: tuple[str, ...] = ()) -> None:
    """Refuse a gold answer that its kind cannot read: it would score every response the same.

    Args:
        gold: the right answer, as its source writes it.
        kind: a key of ``KINDS``.
        options: the texts of a choice's options, A first; empty where they are unknown.

    Raises:
        RefusedError: the kind does not exist or cannot read the answer. The caller adds file and row.
    """
    reason = ""
    if kind not in ISOLATED:
        verdict, why = verify(gold, None, kind, options)
        reason = why if verdict is Verdict.UNVERIFIABLE else ""
    elif fault := gold_fault(_gold(gold, kind, tuple(map(clean, options)))):
        reason = f"the gold answer {quote(gold)} {fault}"
    reason = _fault(gold, "gold answer") or reason
    if reason:
        raise RefusedError(f"{reason} (kind {kind}); correct the answer or its kind, or drop the row")


def infer_kind(gold: str, options: tuple[str, ...] = ()) -> str:
    """Return the kind that a gold answer is surely of: the first of these that it fits.

    1. With options: ``choice`` of one of them, else ``multi_select`` of several, else refused.
    2. ``integer``; ``number``: a decimal, fraction or percentage, or any number with a unit.
    3. ``yes_no``; ``time``; ``ratio``.
    4. ``interval``, ``tuple`` or ``set`` in its brackets, of numbers or words; ``list`` of numbers.
    5. ``choice``: one letter A to J, capital or in parentheses; ``multi_select``: several of them, set apart.
    6. ``expression``: a LaTeX command, a power, a product or terms with an operator, and no words.
    7. ``text``: at most 64 characters without LaTeX.

    What fits two of them goes by the order: ``10:15`` is a time, so name the kind of a ratio that may be one.

    Args:
        gold: the right answer, as its source writes it.
        options: the texts of a choice's options, A first; empty where they are unknown.

    Raises:
        RefusedError: no rule can check the answer. The caller adds file and row.

    >>> [infer_kind(gold) for gold in ("1,234", "7.0 cm", "Yes", "14:35", "3:4", "(3,4)", "1228 142.67")]
    ['integer', 'number', 'yes_no', 'time', 'ratio', 'tuple', 'list']
    >>> [infer_kind(gold) for gold in ("B", "A, C", "x^2", "red")], infer_kind("dot", ("dot", "square"))
    (['choice', 'multi_select', 'expression', 'text'], 'choice')
    """
    if options:
        if _readable(gold, "multi_select", options) and not _readable(gold, "choice", options):
            return "multi_select"
        refuse_unverifiable(gold, "choice", options)
        return "choice"
    kind = None if _fault(gold, "gold answer") else _infer(clean(gold))
    if kind in (None, "text") and (bald := without_words(clean(gold))) != bare(clean(gold)):
        named = _infer(bald)
        kind = kind if named in (None, "text") else named
    if kind is not None:
        return kind
    if _ONE_OR_MANY.fullmatch(clean(gold)):
        raise RefusedError(
            f"the answer {quote(gold)} may be one number or several; write it without blanks or with commas"
        )
    raise RefusedError(
        f"no rule can check the answer {quote(gold)}; give a number, a letter, a formula or a text of "
        f"at most {MAX_TEXT} characters, name its kind ({', '.join(KINDS)}), or drop the row"
    )


def _infer(gold: str) -> str | None:
    if _ONE_OR_MANY.fullmatch(gold) and not _readable(gold, "number"):
        return None
    for kind in ("integer", "number", "yes_no", "time"):
        if _readable(gold, kind):
            # 3m is three metres or three times m; an expression tells 3 from both.
            return "expression" if kind == "number" and _is_product(gold) else kind
    if looks_like_ratio(gold):
        return "ratio"
    sequence = infer_sequence(gold)
    if sequence is not None:
        return sequence
    for kind, fits in _SHAPES.items():
        if fits(gold):
            return kind
    return None


def _is_product(gold: str) -> bool:
    """Return whether what stands right behind a number is no unit but what it is multiplied by.

    >>> [_is_product(gold) for gold in ("3m", "3ab", "4s^2", "5cm", "5 m")]
    [True, True, True, False, False]
    """
    match = _GLUED.fullmatch(bare(gold))
    return match is not None and (len(match[1]) == 1 or not is_symbol(match[1]))


def _readable(gold: str, kind: str, options: tuple[str, ...] = ()) -> bool:
    return not _fault(gold, "gold answer") and _reads(clean(gold), kind, tuple(map(clean, options)))


def _reads(gold: str, kind: str, options: tuple[str, ...]) -> bool:
    return kind not in ISOLATED and KINDS[kind](gold, "", options)[0] is not Verdict.UNVERIFIABLE


def _fault(text: str, what: str) -> str:
    """Return why a text is not looked at; nothing when it is."""
    if len(text.strip()) > MAX_LENGTH:
        return f"the {what} is over {MAX_LENGTH} characters long: {quote(text.strip())}"
    if has_control(clean(text)):
        return f"the {what} {quote(text)} holds control characters"
    return ""


_ONE_OR_MANY = re.compile("[0-9]{1,3}(?: [0-9]{3})+")
_WORDY = frozenset({"text", "yes_no", "choice", "multi_select", "time"})
"""Kinds whose answers are words: only ``Answer:`` is taken off."""
_NAMED = frozenset({"integer", "number", "ratio", "tuple", "interval", "set", "list"})
"""Kinds whose answers may be said to be the value of a symbol; expressions read that themselves."""
_IRRATIONAL = re.compile(
    r"√|π|\\(?:sqrt|pi|sin|cos|tan|ln|log)(?![A-Za-z])|(?<![A-Za-z\\])(?:sqrt|pi|sin|cos|tan)(?![A-Za-z])"
)
"""The exact form of what a gold decimal is rounded from."""
_SAYS = re.compile(r"[A-Za-z\\=:≈~<>≤≥∈÷√π]|[^\x00-\x7f]")
"""What an answer holds that may be written otherwise than its kind does, or hold more than a value."""
_LITERAL = re.compile(r"\\overline|\\(?:dot|div|in|le|ge|leq|geq)(?![A-Za-z])|[÷<>≤≥∈]")
"""What is written otherwise than its kind does: 2 ÷ 3, a recurring decimal, x < 3 for an interval."""
_SEVERAL = frozenset({"tuple", "set", "list"})
"""Kinds of several parts, each of which may be named: ``x = 3, y = -2``."""
_GLUED = re.compile(
    r"[-+]?(?:[0-9.,]+|\\[dt]?frac(?:\{[0-9]+\}|[0-9]) ?(?:\{[0-9]+\}|[0-9]))([A-Za-z]+)(?:\^\{?[0-9]\}?)?"
)
_SHAPES = {
    "list": looks_like_list,
    "choice": looks_like_choice,
    "multi_select": looks_like_choices,
    "expression": looks_like_expression,
    "text": looks_like_text,
}
