"""The tree of a formula."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction


class UnreadableError(ValueError):
    """The text is no formula that this package reads. Never leaves the verifier."""


class UndefinedError(Exception):
    """The formula has no value there, such as 1/0. Never leaves the verifier."""


@dataclass(frozen=True)
class Node:
    r"""One operation and what it is applied to.

    Values: ``number`` (value), ``name`` (text), ``constant`` (pi, e, i, infinity), ``digits`` (numeral,
    base); ``add`` and ``multiply`` (terms), ``divide``, ``power``, ``root`` (n, radicand), ``call``
    (function, argument), ``log`` (base, argument), ``binomial``, ``degrees``, ``plus_minus`` (+1 or -1,
    term).
    Shapes: ``tuple`` (brackets, parts), ``set``, ``list`` (parts, ``\or`` if that stands between them),
    ``union``, ``matrix`` (rows), ``ratio``, ``relation`` (signs, sides).
    """

    op: str
    args: tuple[Node | Fraction | str | int | tuple[Node, ...] | tuple[str, ...], ...] = ()
    places: int | None = None
    """Digits behind the decimal point of a number that was written with one."""

    @property
    def text(self) -> str:
        """The name, constant, numeral, function or brackets."""
        return str(self.args[0])

    @property
    def value(self) -> Fraction:
        """The value of a number."""
        assert isinstance(self.args[0], Fraction)
        return self.args[0]

    @property
    def signs(self) -> tuple[str, ...]:
        """The signs between the sides of a relation; none for anything else."""
        return tuple(map(str, self.args[0])) if self.op == "relation" else ()  # type: ignore[arg-type]

    @property
    def parts(self) -> tuple[Node, ...]:
        """The nodes below, in order."""
        found: list[Node] = []
        for arg in self.args:
            if isinstance(arg, Node):
                found.append(arg)
            elif isinstance(arg, tuple):
                found.extend(part for part in arg if isinstance(part, Node))
        return tuple(found)


SHAPES = frozenset({"tuple", "set", "list", "union", "matrix", "relation", "ratio"})
"""Nodes that are no single value."""


def names_in(node: Node) -> frozenset[str]:
    """Return the names that a formula holds."""
    if node.op == "name":
        return frozenset({node.text})
    return frozenset().union(*(names_in(part) for part in node.parts))


def holds(node: Node, ops: frozenset[str]) -> bool:
    """Return whether a formula holds one of these operations."""
    return node.op in ops or any(holds(part, ops) for part in node.parts)


def calls(node: Node, name: str) -> bool:
    """Return whether a formula calls a function."""
    return (node.op == "call" and node.text == name) or any(calls(part, name) for part in node.parts)


def number(value: Fraction | int, places: int | None = None) -> Node:
    """Return the node of a number."""
    return Node("number", (Fraction(value),), places)


def negative(node: Node) -> Node:
    """Return the negative of a value."""
    if node.op == "number":
        return number(-node.value, node.places)
    if node.op == "digits":
        return Node("digits", (f"-{node.text}", node.args[1]))
    return Node("multiply", ((number(-1), node),))


def rebuilt(node: Node, change: Callable[[Node], Node]) -> Node:
    """Return a node with each of the nodes right below it changed."""
    args = tuple(
        tuple(change(part) if isinstance(part, Node) else part for part in arg)
        if isinstance(arg, tuple)
        else (change(arg) if isinstance(arg, Node) else arg)
        for arg in node.args
    )
    return Node(node.op, args, node.places)  # type: ignore[arg-type]


def renamed(node: Node, names: Mapping[str, str]) -> Node:
    """Return a formula with other names."""
    if not names:
        return node
    if node.op == "name":
        return Node("name", (names.get(node.text, node.text),))
    return rebuilt(node, lambda part: renamed(part, names))
