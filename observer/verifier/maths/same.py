"""Whether two formulas say the same: values, lists, intervals, matrices, equations and inequalities.

Equations are the same when one is a multiple of the other; an inequality is the interval that it describes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from observer.verifier.maths.equal import ratio, same_value
from observer.verifier.maths.matrices import whole_matrices
from observer.verifier.maths.tree import SHAPES, Node, UnreadableError, holds, names_in, negative, rebuilt
from observer.verifier.maths.values import FINE

_ORDERS = {"<": (1, True), r"\le": (1, False), ">": (-1, True), r"\ge": (-1, False)}
_INFINITY = Node("constant", ("infinity",))


def same(gold: Node, given: Node) -> bool:
    """Return whether a formula says what the gold one says.

    Raises:
        UnreadableError: they cannot be compared.

    >>> from observer.verifier.maths.parse import parse
    >>> [same(parse("x=5"), parse(text)) for text in ("5", "x=10/2", "x=6=5", "y=5", "x>5")]
    [True, True, False, False, False]
    """
    gold, given = _alternatives(whole_matrices(gold)), _alternatives(whole_matrices(given))
    if gold.op == "relation" or given.op == "relation":
        return _same_relations(gold, given)
    if gold.op in ("list", "set"):
        items = given.parts if given.op in ("list", "set", "tuple") else (given,)
        if given.op == "tuple" and (gold.op == "set" or given.args[0] not in ("()", "[]")):
            return False
        return _cover(gold.parts, items)
    if gold.op == "tuple":
        bare = given.op == "list" and gold.args[0] == "()"
        fits = bare or (given.op == "tuple" and given.args[0] == gold.args[0])
        return fits and _in_order(gold.parts, given.parts)
    if gold.op == "union":
        return given.op == "union" and _cover(gold.parts, given.parts)
    if gold.op == "matrix":
        return given.op == "matrix" and _in_order(gold.parts, given.parts, rows=True)
    return given.op not in SHAPES and same_value(gold, given)


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


def _alternatives(node: Node) -> Node:
    """Write what has a plus-minus as its two values."""
    if node.op == "list":
        items = [_alternatives(part) for part in node.parts]
        flat = [part for item in items for part in (item.parts if item.op == "list" else (item,))]
        return Node("list", (tuple(flat),))
    if not holds(node, frozenset({"plus_minus"})) or node.signs not in ((), ("=",)):
        return node
    return Node("list", (tuple(_chosen(node, choice) for choice in (1, -1)),))


def _chosen(node: Node, choice: int) -> Node:
    if node.op == "plus_minus":
        term = _chosen(node.parts[0], choice)
        return term if node.args[0] == choice else negative(term)
    return rebuilt(node, lambda part: _chosen(part, choice))


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
    if gold.signs == given.signs and gold.signs in ((r"\ne",), (r"\equiv",)):
        return _in_order(
            [_alternatives(side) for side in gold.parts], [_alternatives(side) for side in given.parts]
        )
    interval = _interval(gold), _interval(given)
    if interval[0] is not None and interval[1] is not None:
        return same(interval[0], interval[1])
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
    """Return whether two names are one: ``f(x)`` and ``y`` are."""
    return gold == given or all(name == "y" or name.endswith("(x)") for name in (gold, given))


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
        if sign not in _ORDERS:
            return None
        direction, strict = _ORDERS[sign]
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


def _interval(node: Node) -> Node | None:
    r"""Return the set that a relation of one name to constants describes: [3, oo) for ``x \ge 3``."""
    if node.op in ("tuple", "union", "set"):
        return node
    if node.op != "relation":
        return None
    if node.signs == (r"\in",):
        return node.parts[1] if node.parts[0].op == "name" else None
    middle = [place for place, side in enumerate(node.parts) if side.op == "name"]
    ordered = (
        all(sign in _ORDERS for sign in node.signs) and len({_ORDERS[sign][0] for sign in node.signs}) == 1
    )
    if not ordered or len(middle) != 1 or len(node.parts) > 3:
        return None
    if any(names_in(side) for side in node.parts if side.op != "name"):
        return None
    low, high = ("(", negative(_INFINITY)), (")", _INFINITY)
    for place, side in enumerate(node.parts):
        if place == middle[0]:
            continue
        rises, strict = _ORDERS[node.signs[min(place, middle[0])]]
        if (place < middle[0]) == (rises > 0):
            low = ("(" if strict else "[", side)
        else:
            high = (")" if strict else "]", side)
    return Node("tuple", (low[0] + high[0], (low[1], high[1])))
