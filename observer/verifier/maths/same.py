"""Whether two formulas say the same: values, lists, intervals, matrices, equations and inequalities.

Values without names are compared to 60 digits, or exactly where they are rational. Values with names are
compared at points: two different formulas of the size of an answer agree at all of them by a chance that is
not worth naming (Schwartz and Zippel). Equations are the same when one is a multiple of the other; an
inequality is the interval that it describes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise, product

from mpmath import MPContext

from observer.verifier.maths.rewriting import ORDERS, both_signs, interval_of, whole_matrices
from observer.verifier.maths.tree import (
    SHAPES,
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
_SCALES = (Fraction(1), Fraction(40), Fraction(7), Fraction(1, 9), Fraction(10**5), None)
"""How far from zero the points lie at which formulas with names are compared; None: at whole numbers. Each is
tried three times: with all names positive, with every second one negative, and with the others."""
ENOUGH = 2
"""Points at which both must have a value."""
MOST_UNDEFINED = 14
"""Points without a value after which none is looked for: roots of x - 100 have theirs at the thirteenth."""

_WHOLE = frozenset({"binomial"})
_SYMMETRIC = (r"\ne", r"\equiv", r"\cong", r"\parallel", r"\perp", r"\sim")
_INFINITY = Node("constant", ("infinity",))


def same(gold: Node, given: Node) -> bool:
    """Return whether a formula says what the gold one says.

    Raises:
        UnreadableError: they cannot be compared.

    >>> from observer.verifier.maths.parse import parse
    >>> [same(parse("x=5"), parse(text)) for text in ("5", "x=10/2", "x=6=5", "y=5", "x>5")]
    [True, True, False, False, False]
    """
    gold, given = both_signs(whole_matrices(gold)), both_signs(whole_matrices(given))
    if gold.op in ("relation", "list") or given.op in ("relation", "list"):
        wanted, found = interval_of(gold), interval_of(given)
        if wanted is not None and found is not None and _of_one_name(gold, given):
            return same(wanted, found)
    if gold.op == "relation" or given.op == "relation":
        return _same_relations(gold, given)
    if gold.op == "ratio":
        terms = given.parts if given.op in ("ratio", "divide") else ()
        return len(terms) == len(gold.parts) and all(
            same_value(_times(gold.parts[0], term), _times(part, terms[0]))
            for part, term in zip(gold.parts, terms, strict=True)
        )
    if gold.op in ("list", "set"):
        items = given.parts if given.op in ("list", "set", "tuple") else (given,)
        if given.op == "tuple" and (gold.op == "set" or given.text not in ("()", "[]")):
            return False
        if _orders(gold) and _orders(given) and gold.args[1:] != given.args[1:]:
            return False  # x < 1 or x > 3, where both cannot be
        return _cover(gold.parts, items)
    if gold.op == "tuple":
        bare = given.op == "list" and gold.args[0] == "()"
        fits = bare or (given.op == "tuple" and given.args[0] == gold.args[0])
        return fits and _in_order(gold.parts, given.parts)
    if gold.op == "union":
        return given.op == "union" and _cover(gold.parts, given.parts)
    if gold.op == "matrix":
        rows = [part for part in given.parts if part.op in ("list", "tuple")]
        return given.op in ("matrix", "tuple") and _in_order(gold.parts, rows, rows=True)
    return given.op not in SHAPES and same_value(gold, given)


def _orders(node: Node) -> bool:
    """Return whether a list is one of inequalities."""
    return bool(node.parts) and all(part.signs and part.signs[0] in ORDERS for part in node.parts)


def _of_one_name(gold: Node, given: Node) -> bool:
    """Return whether two sets are not said to be of two different names: an interval has none."""
    ours, theirs = (
        names_in(node) if node.op in ("relation", "list") else frozenset() for node in (gold, given)
    )
    return not ours or not theirs or ours == theirs


def _times(one: Node, other: Node) -> Node:
    return Node("multiply", ((one, other),))


def _in_order(gold: Sequence[Node], given: Sequence[Node], rows: bool = False) -> bool:
    pairs = zip(gold, given, strict=False)
    if len(gold) != len(given):
        return False
    return all(_in_order(a.parts, b.parts) if rows else same(a, b) for a, b in pairs)


def _cover(gold: Sequence[Node], given: Sequence[Node]) -> bool:
    """Return whether each of the gold is met by one of the given, and the other way round."""
    if len(gold) != len(given):
        return False
    left = list(given)
    for item in gold:
        found = next((place for place, other in enumerate(left) if _meets(item, other)), None)
        if found is None:
            return False
        left.pop(found)
    return True


def _meets(item: Node, other: Node) -> bool:
    try:
        return same(item, other)
    except UnreadableError:
        return False


def _same_relations(gold: Node, given: Node) -> bool:
    right, value = _named(gold), _named(given)
    if value is not None and not _consistent(value[1]):
        return False  # x = 6 = 5
    if value is not None and "=" in value[0] and (right is None or right[0] != value[0]):
        return False  # a = b = 5, where nobody asked for both
    if right is not None and value is not None:
        if right[0] and value[0] and not _same_name(right[0], value[0]):
            return _same_equation(gold, given)
        if same(right[1][0], value[1][0]):
            return True
        return bool(right[0] and value[0] and names_in(right[1][0])) and _same_equation(gold, given)
    if gold.signs == given.signs and gold.signs[0] in _SYMMETRIC:
        sides = [both_signs(side) for side in given.parts]
        return any(_in_order([both_signs(side) for side in gold.parts], way) for way in (sides, sides[::-1]))
    if "relation" == gold.op == given.op and names_in(gold) != names_in(given):
        return _same_equation(gold, given)
    if gold.op != "relation" or given.op != "relation":
        return False
    if right is not None and not names_in(right[1][0]):
        return False  # 2x = 10 has not been solved yet
    return _same_equation(gold, given) or _same_inequalities(gold, given)


def _named(node: Node) -> tuple[str, tuple[Node, ...]] | None:
    r"""Return the name of a value and its values, as they follow one another in ``x = 2\pi = 6.28``."""
    if node.op != "relation":
        return "", (node,)
    sides = node.parts
    if len(sides) == 2 and _is_name(sides[1]) and not names_in(sides[0]):  # 3 = x
        sides = sides[::-1]
    if any(sign not in ("=", r"\approx") for sign in node.signs):
        return None
    named = 0
    while named < len(sides) - 1 and _is_name(sides[named]):
        named += 1
    if named and not (names_in(sides[0]) & frozenset().union(*(names_in(side) for side in sides[named:]))):
        return "=".join(", ".join(sorted(names_in(side))) for side in sides[:named]), sides[named:]
    return ("", sides) if not any(names_in(side) for side in sides) else None


def _is_name(node: Node) -> bool:
    """Return whether a side only names what is on the other: x, or (x, y)."""
    return node.op == "name" or (node.op == "tuple" and all(part.op == "name" for part in node.parts))


def _consistent(values: tuple[Node, ...]) -> bool:
    """Return whether values that are said to be the same are, a decimal as far as it is written."""
    return all(
        same(after, before) if after.places is not None else same(before, after)
        for before, after in pairwise(values)
    )


def _same_name(gold: str, given: str) -> bool:
    """Return whether two names are one: y is f(x), and x_1 one of several x."""
    functions = [name == "y" or (name.endswith("(x)") and "'" not in name) for name in (gold, given)]
    return gold == given or (all(functions) and "y" in (gold, given)) or given.partition("_")[0] == gold


def _difference(left: Node, right: Node) -> Node:
    return Node("add", ((left, negative(right)),))


def _same_equation(gold: Node, given: Node) -> bool:
    if not gold.signs == given.signs == ("=",):
        return False
    return ratio(_difference(*gold.parts), _difference(*given.parts)) is not None


def _inequalities(node: Node) -> list[tuple[Node, bool]] | None:
    """Return what must be positive, and whether strictly so."""
    found = []
    for sign, (left, right) in zip(node.signs, pairwise(node.parts), strict=True):
        if sign not in ORDERS:
            return None
        direction, strict = ORDERS[sign]
        found.append((_difference(right, left) if direction > 0 else _difference(left, right), strict))
    return found


def _same_inequalities(gold: Node, given: Node) -> bool:
    right, value = _inequalities(gold), _inequalities(given)
    if right is None or value is None or len(right) != len(value):
        return False
    return all(any(_same_bound(bound, other) for other in value) for bound in right) and all(
        any(_same_bound(bound, other) for bound in right) for other in value
    )


def _same_bound(gold: tuple[Node, bool], given: tuple[Node, bool]) -> bool:
    """Return whether two formulas are positive, or not negative, at the same places."""
    multiple = ratio(gold[0], given[0])
    return gold[1] == given[1] and multiple is not None and bool(FINE.re(multiple) > 0)


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
    agreed = undefined = 0
    for point in _points(gold, given):
        try:
            verdict = _equal_at(gold, given, point)
        except UndefinedError:
            undefined += 1
            if undefined - agreed > MOST_UNDEFINED:
                break
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
    """Yield points: near and far, of either sign, whole ones; only those where nothing else has a value."""
    names = sorted(frozenset().union(*(names_in(node) for node in nodes)))
    whole = any(holds(node, _WHOLE) or calls(node, "factorial") for node in nodes)
    for place, (scale, signs) in enumerate(product(_SCALES, ((1, 1), (-1, 1), (1, -1)))):
        point = {}
        for order, name in enumerate(names):
            seed = int.from_bytes(hashlib.blake2b(f"{place} {name}".encode(), digest_size=6).digest(), "big")
            if whole or scale is None:
                value = Fraction(seed % 9 + 2)
            else:
                value = Fraction(seed % 900 + 101, 353) * scale
            point[name] = value if whole else value * signs[order % 2]
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
