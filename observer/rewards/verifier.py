"""Says whether an answer is right. Answers are typed: each kind has one checker in a table.

The verifier is given the answer, already found in the response; it searches nothing. It needs neither torch
nor a tokenizer, so that it can run in a process of its own. Whatever a policy writes is a verdict and never
an exception, in time linear in its length; nothing longer than ``MAX_LENGTH`` is looked at.
"""

from __future__ import annotations

from collections.abc import Callable

from observer.rewards.choice import check_choice, looks_like_choice
from observer.rewards.notation import quote
from observer.rewards.number import check_integer, check_number
from observer.types import RefusedError, Verdict

MAX_LENGTH = 1000
"""Longest answer that is looked at, in characters without outer blanks."""

Checker = Callable[[str, str, tuple[str, ...]], tuple[Verdict, str]]
"""(gold, prediction, options) -> (verdict, reason): unverifiable when it cannot read the gold answer."""

KINDS: dict[str, Checker] = {
    "integer": check_integer,
    "number": check_number,
    "choice": check_choice,
}
"""Kind of answer -> its checker."""


def verify(
    gold: str, prediction: str | None, kind: str, options: tuple[str, ...] = ()
) -> tuple[Verdict, str]:
    r"""Say whether a prediction is the gold answer. The gold answer comes first.

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
    gold = gold.strip()
    prediction = (prediction or "").strip()
    if len(gold) > MAX_LENGTH:
        return Verdict.UNVERIFIABLE, f"the gold answer is over {MAX_LENGTH} characters long: {quote(gold)}"
    fault = "" if prediction else "there is no answer"
    if len(prediction) > MAX_LENGTH:
        fault = f"the answer is over {MAX_LENGTH} characters long: {quote(prediction)}"
    verdict, reason = KINDS[kind](gold, "" if fault else prediction, options)
    return (Verdict.WRONG, fault) if fault and verdict is not Verdict.UNVERIFIABLE else (verdict, reason)


def refuse_unverifiable(gold: str, kind: str, options: tuple[str, ...] = ()) -> None:
    """Refuse a gold answer that its kind cannot read: it would score every response the same.

    Args:
        gold: the right answer, as its source writes it.
        kind: a key of ``KINDS``.
        options: the texts of a choice's options, A first; empty where they are unknown.

    Raises:
        RefusedError: the kind does not exist or cannot read the answer. The caller adds file and row.
    """
    verdict, reason = verify(gold, None, kind, options)
    if verdict is Verdict.UNVERIFIABLE:
        raise RefusedError(f"{reason} (kind {kind}); correct the answer or its kind, or drop the row")


def infer_kind(gold: str, options: tuple[str, ...] = ()) -> str:
    """Return the kind that a gold answer is surely of. With options it is a choice or nothing.

    Args:
        gold: the right answer, as its source writes it.
        options: the texts of a choice's options, A first; empty where they are unknown.

    Raises:
        RefusedError: no rule can check the answer. The caller adds file and row.

    >>> infer_kind("1,234"), infer_kind("7.0"), infer_kind("B"), infer_kind("dot", ("dot", "square"))
    ('integer', 'number', 'choice', 'choice')
    """
    if options:
        refuse_unverifiable(gold, "choice", options)
        return "choice"
    for kind in ("integer", "number"):
        if verify(gold, None, kind)[0] is not Verdict.UNVERIFIABLE:
            return kind
    if len(gold.strip()) <= MAX_LENGTH and looks_like_choice(gold):
        return "choice"
    raise RefusedError(
        f"no rule can check the answer {quote(gold)}; give an integer, a number, or a letter A to J, "
        "name its kind and options, or drop the row"
    )
