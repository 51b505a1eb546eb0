"""Whether two formulas have the same value.

Values without names are compared to 60 digits, or exactly where they are rational. Values with names are
compared at points: two different formulas of the size of an answer agree at all of them by a chance that is
not worth naming (Schwartz and Zippel).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from fractions import Fraction

from mpmath import MPContext

from observer.verifier.maths.tree import (
    Node,
    UndefinedError,
    UnreadableError,
    calls,
    holds,
    names_in,
    negative,
)
from observer.verifier.maths.values import FINE, ROUGH, Value, evaluate, real

TOLERANCE = Fraction(1, 10**6)
"""How far a decimal may be from a constant, relative to it: 1.414214 is the root of 2 and 1.41 is not."""
POINTS = 5
"""Points at which formulas with names are compared."""
ENOUGH = 2
"""Points at which both must have a value."""

_WHOLE = frozenset({"binomial"})


def same_value(gold: Node, given: Node) -> bool:
    """Return whether two formulas have the same value, whatever their names stand for.

    Raises:
        UnreadableError: they cannot be worked out.

    >>> from observer.verifier.maths.parse import parse
    >>> same_value(parse("(a+b)(a-b)"), parse("a^2-b^2")), same_value(parse("x^2"), parse("2x"))
    (True, False)
    """
    if _infinite(gold) or _infinite(given):
        return _infinite(gold) == _infinite(given)
    if gold.op == "digits":
        return _same_digits(gold, given)
    if not names_in(gold) and not names_in(given):
        return _same_constant(gold, given)
    one_sided = calls(gold, "abs") != calls(given, "abs")
    agreed = 0
    for point in _points(gold, given):
        try:
            verdict = _equal_at(gold, given, point)
        except UndefinedError:
            continue
        if verdict is None:  # one is real there and the other is not
            if one_sided:
                return False
            continue
        if not verdict:
            return False
        agreed += 1
    if agreed < ENOUGH:
        raise UnreadableError("they have values at too few points")
    return True


def _same_constant(gold: Node, given: Node) -> bool:
    try:
        if gold.places is None and given.places is None:
            return bool(_equal_at(gold, given, {}))
        right, value = (real(evaluate(node, {}, FINE), FINE) for node in (gold, given))
    except UndefinedError:
        return False
    gap = abs(right - value)
    if gold.places is not None:
        return bool(gap <= FINE.mpf(10) ** -gold.places / 2)
    return bool(gap <= abs(right) * real(TOLERANCE, FINE))


def _same_digits(gold: Node, given: Node) -> bool:
    """Return whether a numeral is the same, its base named or not."""
    if given.op == "digits":
        return gold == given
    return given.op == "number" and given.places is None and str(given.value) == gold.text


def _infinite(node: Node) -> int:
    if node == Node("constant", ("infinity",)):
        return 1
    return -1 if node == negative(Node("constant", ("infinity",))) else 0


def _equal_at(gold: Node, given: Node, point: dict[str, Fraction]) -> bool | None:
    """Return whether two values are equal at a point; None when only one of them is real."""
    right, value = evaluate(gold, point, ROUGH), evaluate(given, point, ROUGH)
    if isinstance(right, Fraction) and isinstance(value, Fraction):
        return right == value
    if _is_real(right) != _is_real(value):
        return None
    gap, size = _gap(right, value, ROUGH)
    if size > 1e-12 and gap > size * 1e-15:
        return False
    # Nearly equal, or nearly zero: what is no difference shrinks as digits are added.
    fine, size = _gap(evaluate(gold, point, FINE), evaluate(given, point, FINE), FINE)
    least = gap * FINE.mpf(10) ** -20 if gap else FINE.mpf(10) ** -50
    return bool(fine <= size * FINE.mpf(10) ** -45 or fine <= least)


def _gap(right: Value, value: Value, mp: MPContext) -> tuple[Value, Value]:
    right, value = real(right, mp), real(value, mp)
    return abs(right - value), max(abs(right), abs(value))


def _is_real(value: Value) -> bool:
    return isinstance(value, Fraction) or not hasattr(value, "_mpc_") or abs(value.imag) <= abs(value) * 1e-20


def _points(*nodes: Node) -> Iterator[dict[str, Fraction]]:
    """Yield points: positive ones, whole ones where only those have a value, then ones of both signs."""
    names = sorted(frozenset().union(*(names_in(node) for node in nodes)))
    whole = any(holds(node, _WHOLE) or calls(node, "factorial") for node in nodes)
    for place in range(POINTS):
        point = {}
        for name in names:
            seed = int.from_bytes(hashlib.blake2b(f"{place} {name}".encode(), digest_size=6).digest(), "big")
            value = Fraction(seed % 900 + 101, 353)
            if whole:
                value = Fraction(seed % 9 + 2)
            elif place % 2 and seed % 3:
                value = -value
            point[name] = value
        yield point


def ratio(gold: Node, given: Node) -> Value | None:
    """Return by what a formula has to be multiplied to be the other, if by one number everywhere."""
    found = None
    agreed = 0
    for point in _points(gold, given):
        try:
            right, value = evaluate(gold, point, FINE), evaluate(given, point, FINE)
            multiple = real(value, FINE) / real(right, FINE)
        except (UndefinedError, ZeroDivisionError):
            continue
        if multiple == 0 or (found is not None and abs(multiple - found) > abs(found) * FINE.mpf(10) ** -40):
            return None
        found, agreed = multiple, agreed + 1
    return found if agreed >= ENOUGH else None
