"""Formulas written in one way: sums of matrices as one, plus-minus as two, inequalities as intervals."""

from __future__ import annotations

from collections.abc import Callable

from observer.verifier.maths.tree import Node, holds, names_in, negative, rebuilt

ORDERS = {"<": (1, True), r"\le": (1, False), ">": (-1, True), r"\ge": (-1, False)}
"""Sign of an inequality -> whether its sides rise or fall, and whether strictly."""
_MATRIX = frozenset({"matrix"})
_INFINITY = Node("constant", ("infinity",))


def whole_matrices(node: Node) -> Node:
    r"""Return a formula with its sums and multiples of matrices worked out; their products stay as they are.

    >>> from observer.verifier.maths.parse import parse
    >>> two = r"\begin{pmatrix}2\\4\end{pmatrix}"
    >>> whole_matrices(parse("3" + two)).op, whole_matrices(parse(f"{two}-{two}")).op
    ('matrix', 'matrix')
    """
    if node.op == "relation":
        return Node("relation", (node.args[0], tuple(whole_matrices(side) for side in node.parts)))
    if node.op not in ("add", "multiply") or not holds(node, _MATRIX):
        return node
    parts = [whole_matrices(part) for part in node.parts]
    matrices = [part for part in parts if part.op == "matrix"]
    if node.op == "multiply" and len(matrices) == 1:
        return _each(
            lambda cell: Node("multiply", (tuple(cell if part is matrices[0] else part for part in parts),)),
            *matrices,
        )
    if node.op == "add" and len(matrices) == len(parts) and len({_shape(matrix) for matrix in matrices}) == 1:
        return _each(lambda *cells: Node("add", (cells,)), *matrices)
    return node


def _shape(matrix: Node) -> tuple[int, ...]:
    return tuple(len(row.parts) for row in matrix.parts)


def _each(work: Callable[..., Node], *matrices: Node) -> Node:
    """Return the matrix of what is made of the cells at each place."""
    rows = zip(*(matrix.parts for matrix in matrices), strict=True)
    cells = (tuple(map(work, *(row.parts for row in at_one_place))) for at_one_place in rows)
    return Node("matrix", tuple(Node("list", (row,)) for row in cells))


def both_signs(node: Node) -> Node:
    """Write what has a plus-minus as its two values."""
    if node.op == "list":
        items = [both_signs(part) for part in node.parts]
        flat = [part for item in items for part in (item.parts if item.op == "list" else (item,))]
        return Node("list", (tuple(flat), *node.args[1:]))
    if not holds(node, frozenset({"plus_minus"})) or node.signs not in ((), ("=",)):
        return node
    return Node("list", (tuple(_chosen(node, choice) for choice in (1, -1)),))


def _chosen(node: Node, choice: int) -> Node:
    if node.op == "plus_minus":
        term = _chosen(node.parts[0], choice)
        return term if node.args[0] == choice else negative(term)
    return rebuilt(node, lambda part: _chosen(part, choice))


def interval_of(node: Node) -> Node | None:
    r"""Return the set that a relation of one name to constants describes: [3, oo) for ``x \ge 3``."""
    if node.op in ("tuple", "union", "set"):
        return node
    if node.op == "list":
        return _joined(node)
    if node.op != "relation":
        return None
    if node.signs == (r"\in",):
        return node.parts[1] if node.parts[0].op == "name" else None
    middle = [place for place, side in enumerate(node.parts) if side.op == "name"]
    ordered = (
        all(sign in ORDERS for sign in node.signs) and len({ORDERS[sign][0] for sign in node.signs}) == 1
    )
    if not ordered or len(middle) != 1 or len(node.parts) > 3:
        return None
    if any(names_in(side) for side in node.parts if side.op != "name"):
        return None
    low, high = ("(", negative(_INFINITY)), (")", _INFINITY)
    for place, side in enumerate(node.parts):
        if place == middle[0]:
            continue
        rises, strict = ORDERS[node.signs[min(place, middle[0])]]
        if (place < middle[0]) == (rises > 0):
            low = ("(" if strict else "[", side)
        else:
            high = (")" if strict else "]", side)
    return Node("tuple", (low[0] + high[0], (low[1], high[1])))


def _joined(node: Node) -> Node | None:
    """Return the union, or what is common, of inequalities of one name."""
    sets = [interval_of(part) for part in node.parts if part.op == "relation"]
    found = [one for one in sets if one is not None]
    if len(found) < len(node.parts) or len({names_in(part) for part in node.parts}) > 1 or not found:
        return None
    if node.args[1:] == (r"\or",):
        return Node("union", (tuple(found),))
    lows = [one for one in found if one.parts[0] != negative(_INFINITY)]
    highs = [one for one in found if one.parts[1] != _INFINITY]
    if len(found) != 2 or len(lows) != 1 or len(highs) != 1:
        return None
    return Node("tuple", (lows[0].text[0] + highs[0].text[1], (lows[0].parts[0], highs[0].parts[1])))
