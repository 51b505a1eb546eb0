r"""From the text of a formula to its tree; each command of LaTeX and bracket has its reader here."""

from __future__ import annotations

from functools import lru_cache

from observer.verifier.maths.grammar import MAX_ITEMS, Parser, Reader
from observer.verifier.maths.tokens import tokens_of
from observer.verifier.maths.tree import Node, UnreadableError, number

_CLOSING = {"(": (")", "]"), "[": ("]", ")"), "{": ("}",), r"\{": (r"\}",)}
_VECTORS = (r"\overrightarrow", r"\vec")
_MATRICES = ("cases", "pmatrix", "bmatrix", "matrix", "array", "Bmatrix", "smallmatrix")
_ROUNDED = {r"\lfloor": ("floor", r"\rfloor"), r"\lceil": ("ceil", r"\rceil")}


@lru_cache(maxsize=4096)
def parse(text: str) -> Node:
    r"""Return the tree of a formula.

    Raises:
        UnreadableError: it is none that this package reads.

    >>> parse("1/3 x") == parse(r"\frac13x"), parse("√26") == parse(r"\sqrt{26}")
    (True, True)
    """
    try:
        tokens = tokens_of(text)
    except ValueError as error:
        raise UnreadableError(str(error)) from None
    parser = Parser(tokens, READERS)
    tree = parser.sequence()
    if parser.next:
        raise UnreadableError(f"{parser.next!r} does not fit")
    return tree


def _bracket(parser: Parser, opening: str) -> Node:
    bars, parser.bars = parser.bars, 0
    if opening in ("{", r"\{") and parser.tokens[parser.place + 1 : parser.place + 2] in (["|"], [":"]):
        parser.place += 2  # {x | x > 2} is what x > 2 says
        inner = parser.sequence()
        parser.take(*_CLOSING[opening])
        parser.bars = bars
        return inner
    if opening == r"\{" and parser.takes(r"\}"):
        return Node("set", ((),))
    if opening == "{" and parser.takes("}"):
        raise UnreadableError("nothing in braces")
    inner = parser.sequence()
    closing = parser.take(*_CLOSING[opening])
    parser.bars = bars
    items = inner.parts if inner.op == "list" else (inner,)
    if opening == r"\{":
        return Node("set", (items,))
    if inner.op == "list" and opening == "{":
        return Node("set", (items,))
    if inner.op == "list":
        return Node("tuple", (opening + closing, items))
    if opening + closing not in ("()", "[]", "{}"):
        raise UnreadableError(f"{opening}..{closing}")
    return inner


def _fraction(parser: Parser, token: str) -> Node:
    return Node("divide", (parser.one(), parser.one()))


def _root(parser: Parser, token: str) -> Node:
    degree: Node = number(2)
    if parser.takes("["):
        degree = parser.sum()
        parser.take("]")
    return Node("root", (degree, parser.value()))


def _cube_root(parser: Parser, token: str) -> Node:
    return Node("root", (number(3), parser.value()))


def _binomial(parser: Parser, token: str) -> Node:
    return Node("binomial", (parser.one(), parser.one()))


def _absolute(parser: Parser, token: str) -> Node:
    parser.bars += 1
    inner = parser.sum()
    parser.take(token)
    parser.bars -= 1
    return Node("call", ("abs", inner))


def _rounded(parser: Parser, token: str) -> Node:
    name, closing = _ROUNDED[token]
    inner = parser.sum()
    parser.take(closing)
    return Node("call", (name, inner))


def _figure(parser: Parser, token: str) -> Node:
    r"""Read ``\angle ABC`` as one name; an angle or segment reads from either end."""
    braced = parser.takes("{")
    letters = ""
    while len(parser.next) == 1 and (parser.next.isalpha() or parser.next.isdigit() or parser.next == "'"):
        letters += parser.take()
    if braced:
        parser.take("}")
    if not letters:
        raise UnreadableError(f"{token} of nothing")
    return Node("name", (f"{token[1:]} {min(letters, letters[::-1])}",))


def _accent(parser: Parser, token: str) -> Node:
    inner = parser.value()
    letters = inner.parts or (inner,)
    if all(part.op == "name" for part in letters):
        kind = "vec" if token in _VECTORS else token[1:]
        return Node("name", (f"{kind} {''.join(part.text for part in letters)}",))
    raise UnreadableError(f"{token} of no name")


def _empty(parser: Parser, token: str) -> Node:
    return Node("set", ((),))


def _matrix(parser: Parser, token: str) -> Node:
    kind = _environment(parser)
    if kind == "array" and parser.takes("{"):
        while parser.take() != "}":
            pass
    rows: list[tuple[Node, ...]] = []
    read = parser.relation if kind == "cases" else parser.sum
    row: list[Node] = [read()]
    while True:
        token = parser.take("&", "\\\\", r"\end")
        if token == "&":
            row.append(read())
            continue
        rows.append(tuple(row))
        if token == r"\end" or parser.takes(r"\end"):
            break
        row = [read()]
    whole = len({len(row) for row in rows}) == 1 and len(rows) * len(rows[0]) <= MAX_ITEMS
    if _environment(parser) != kind or not whole:
        raise UnreadableError("a matrix that is not whole")
    if kind == "cases":
        return Node("list", (tuple(row[0] for row in rows), ""))
    return Node("matrix", tuple(Node("list", (row,)) for row in rows))


def _environment(parser: Parser) -> str:
    parser.take("{")
    name = ""
    while (token := parser.take()) != "}":
        name += token
    if name not in _MATRICES:
        raise UnreadableError(f"the environment {name}")
    return name


READERS: dict[str, Reader] = {
    "(": _bracket, "[": _bracket, "{": _bracket, r"\{": _bracket, r"\frac": _fraction, r"\sqrt": _root,
    r"\cbrt": _cube_root, r"\binom": _binomial, "|": _absolute, r"\lfloor": _rounded, r"\lceil": _rounded,
    r"\angle": _figure, r"\triangle": _figure, r"\overline": _figure, r"\overrightarrow": _accent,
    r"\vec": _accent, r"\hat": _accent, r"\dot": _accent, r"\ddot": _accent, r"\bar": _accent,
    r"\emptyset": _empty, r"\begin": _matrix,
}  # fmt: skip
"""Command or bracket -> what reads it."""
