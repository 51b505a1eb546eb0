"""Formulas written in one way: a sum of matrices as one matrix, a plus-minus as its two values."""

from __future__ import annotations

from collections.abc import Callable

from observer.verifier.maths.tree import Node, holds, negative, rebuilt

_MATRIX = frozenset({"matrix"})


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
    rows = zip(*(matrix.parts for matrix in matrices), strict=True)
    return Node(
        "matrix",
        tuple(
            Node(
                "list",
                (
                    tuple(
                        map(work, *(row.parts for row in row_of)),
                    ),
                ),
            )
            for row_of in rows
        ),
    )


def both_signs(node: Node) -> Node:
    """Write what has a plus-minus as its two values."""
    if node.op == "list":
        items = [both_signs(part) for part in node.parts]
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
