"""How a checker is made of a reader and an equality. It knows no kind of answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from observer.types import Verdict
from observer.verifier.notation import quote

Value = TypeVar("Value")

Checker = Callable[[str, str, tuple[str, ...]], tuple[Verdict, str]]
"""(gold, prediction, options) -> (verdict, reason): unverifiable when it cannot read the gold answer."""


def checker(name: str, read: Callable[[str], Value | None], same: Callable[[Value, Value], bool]) -> Checker:
    """Return the checker that reads both answers and compares what they mean.

    Args:
        name: what the answers are, with its article, for reasons.
        read: returns what a text means, or None.
        same: (gold, prediction) -> whether the prediction is right.

    >>> check = checker("a flag", {"on": True, "off": False}.get, bool.__eq__)
    >>> check("on", "off", ()), check("on", "?", ())[0], check("?", "on", ())[0].value
    ((<Verdict.WRONG: 'wrong'>, "'off' is not 'on'"), <Verdict.WRONG: 'wrong'>, 'unverifiable')
    """

    def check(gold: str, prediction: str, options: tuple[str, ...]) -> tuple[Verdict, str]:
        right = read(gold)
        if right is None:
            return Verdict.UNVERIFIABLE, f"the gold answer {quote(gold)} is not {name}"
        given = read(prediction)
        if given is None:
            return Verdict.WRONG, f"{quote(prediction)} is not {name}"
        if same(right, given):
            return Verdict.CORRECT, f"{quote(prediction)} equals {quote(gold)}"
        return Verdict.WRONG, f"{quote(prediction)} is not {quote(gold)}"

    return check
