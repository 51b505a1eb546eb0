"""Sums and multiples of matrices, written as one matrix."""

from __future__ import annotations

from collections.abc import Callable

from observer.verifier.maths.tree import Node, holds

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
