r"""Reads a formula: what is written as by hand, and LaTeX as models and data sets write it.

A slash divides by the next factor only: ``1/3 x`` is a third of x. A radical sign and a power take the whole
number that follows. ``e``, ``i`` and ``\pi`` are the constants.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache

from observer.verifier.maths.tokens import FUNCTIONS, GREEK, tokens_of
from observer.verifier.maths.tree import Node, UnreadableError, number

MAX_NESTING = 24
"""Levels of operations within one another, at most."""
MAX_ITEMS = 100
"""Items of a list, tuple, set or matrix, at most."""

RELATIONS = ("=", "<", ">", r"\le", r"\ge", r"\ne", r"\approx", r"\in", r"\equiv")
_CALLED = re.compile(
    r"[A-Za-z](?:_(?:[A-Za-z0-9]|\{[^{}]*\}))?'*(?:\^\{-1\})?'*\([A-Za-z](?:,[A-Za-z])*\)"  # f(x), f^{-1}(x)
    r"|\|?(?:m?\\angle)?[A-Z]{1,4}\|?|\\overline\{[A-Z]{2}\}|m\\angle\{[A-Z]+\}|d[a-z]/d[a-z]"  # AB, m\angle A
)
"""What stands for one name before a relation sign."""
_SEPARATORS = (",", ";", r"\and", r"\or")
_CLOSING = {"(": (")", "]"), "[": ("]", ")"), "{": ("}",), r"\{": (r"\}",)}
_MATRICES = ("pmatrix", "bmatrix", "matrix", "array", "Bmatrix", "smallmatrix")
_CONSTANTS = {r"\pi": "pi", "e": "e", "i": "i", r"\infty": "infinity"}
_ROUNDED = {r"\lfloor": ("floor", r"\rfloor"), r"\lceil": ("ceil", r"\rceil")}


@lru_cache(maxsize=4096)
def parse(text: str) -> Node:
    r"""Return the tree of a formula.

    Raises:
        UnreadableError: it is none that this package reads.

    >>> parse("1/3 x") == parse(r"\frac13x"), parse("√26") == parse(r"\sqrt{26}")
    (True, True)
    """
    parser = _Parser(tokens_of(text))
    tree = parser.sequence()
    if parser.place < len(parser.tokens):
        raise UnreadableError(f"{parser.next!r} does not fit")
    return tree


class _Parser:
    """Reads tokens from left to right; each method reads one kind of formula and leaves what follows it."""

    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.place = 0
        self.level = 0
        self.bars = 0

    @property
    def next(self) -> str:
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self, *wanted: str) -> str:
        """Take the next token; only one of these, if any are given."""
        token = self.next
        if not token or (wanted and token not in wanted):
            raise UnreadableError(f"{token or 'the end'!r} where {' or '.join(wanted) or 'more'} is wanted")
        self.place += 1
        return token

    def takes(self, token: str) -> bool:
        """Take the next token if it is this one."""
        if self.next != token:
            return False
        self.place += 1
        return True

    def sequence(self, closing: str = "") -> Node:
        """Read items with separators between them; one alone is itself."""
        items, separators = [self.relation()], set()
        while self.next in _SEPARATORS:
            separators.add(self.take())
            while self.next in (r"\and", r"\or"):  # 2, 3, and 5
                separators.add(self.take())
            items.append(self.relation())
            if len(items) > MAX_ITEMS:
                raise UnreadableError("too many items")
        return items[0] if len(items) == 1 else Node("list", (tuple(items),))

    def relation(self) -> Node:
        """Read sides with relation signs between them; one alone is itself."""
        if self.next in ("=", r"\approx"):  # "=5", as answers are copied out of a line
            self.take()
        start, signs = self.place, []
        sides = [self.union()]
        while self.next in RELATIONS:
            if not signs and _CALLED.fullmatch("".join(self.tokens[start : self.place])):
                sides = [Node("name", ("".join(self.tokens[start : self.place]),))]
            signs.append(self.take())
            sides.append(self.union())
        return sides[0] if not signs else Node("relation", (tuple(signs), tuple(sides)))

    def union(self) -> Node:
        parts = [self.sum()]
        while self.takes(r"\cup"):
            parts.append(self.sum())
        return parts[0] if len(parts) == 1 else Node("union", (tuple(parts),))

    def sum(self) -> Node:
        self.level += 1
        if self.level > MAX_NESTING:
            raise UnreadableError("nested too deeply")
        terms = [self.term()]
        while self.next in ("+", "-", r"\pm", r"\mp"):
            terms.append(self.term())
        self.level -= 1
        return terms[0] if len(terms) == 1 else Node("add", (tuple(terms),))

    def term(self) -> Node:
        """Read a product with its signs."""
        sign, choice = 1, 0
        while self.next in ("+", "-", r"\pm", r"\mp"):
            token = self.take()
            if token == "-":
                sign = -sign
            elif token != "+":
                choice = 1 if token == r"\pm" else -1
        factors = [self.power()]
        while True:
            if self.next in ("*", "/"):
                divides = self.take() == "/"
                minus = False
                while self.next in ("+", "-"):
                    minus ^= self.take() == "-"
                factor = self.power()
                if divides:
                    factors = [_divided(factors, factor)]
                else:
                    factors.append(factor)
                sign = -sign if minus else sign
            elif self.begins_factor():
                factors.append(self.power())
            else:
                break
        product = factors[0] if len(factors) == 1 else Node("multiply", (tuple(factors),))
        if choice:
            product = Node("plus_minus", (choice * sign, product))
        elif sign < 0:
            product = negative(product)
        return product

    def begins_factor(self) -> bool:
        """Return whether what follows is multiplied without a sign: a name, a bracket, not a second number."""
        token = self.next
        if not token or token in RELATIONS or token in _SEPARATORS:
            return False
        if token[0].isdigit() or token[0] == ".":
            return not self.tokens[self.place - 1][0].isdigit()
        if token == "|":
            return self.bars == 0
        return token in ("(", "[", "{") or token.isalpha() or (token.startswith("\\") and token in _BEGIN)

    def power(self) -> Node:
        """Read a value with what is written behind it: powers, factorials, degrees."""
        return self.raised(self.value())

    def raised(self, node: Node) -> Node:
        while True:
            if self.takes("!"):
                node = Node("call", ("factorial", node))
            elif self.next == "^" and self.tokens[self.place + 1 : self.place + 2] == [r"\circ"]:
                self.place += 2
                node = Node("degrees", (node,))
            elif self.next == "^" and self.tokens[self.place + 1 : self.place + 4] == ["{", r"\circ", "}"]:
                self.place += 4
                node = Node("degrees", (node,))
            elif self.takes(r"\circ"):
                node = Node("degrees", (node,))
            elif self.takes("^"):
                node = Node("power", (node, self.exponent()))
            else:
                return node

    def exponent(self) -> Node:
        minus = False
        while self.next in ("-", "+"):
            minus ^= self.take() == "-"
        return negative(self.value()) if minus else self.value()

    def value(self) -> Node:
        """Read a number, a name, a constant, a function or what is in brackets."""
        token = self.take()
        if token[0].isdigit() or token[0] == ".":
            return self.number(token)
        if token in _READERS:
            return _READERS[token](self, token)
        if token in _CONSTANTS and not (len(token) == 1 and self.next in ("_", "'")):
            return Node("constant", (_CONSTANTS[token],))
        if token.isalpha() or token[1:] in GREEK:
            return self.name(token)
        if token[1:] in FUNCTIONS:
            return self.function(token[1:])
        raise UnreadableError(f"{token!r}")

    def number(self, token: str) -> Node:
        if self.next == "_" and token.isdigit():
            return self.digits(token)
        if self.next == r"\overline" and "." in token:
            return self.recurring(token)
        value = number(Fraction(token), len(token.partition(".")[2]) if "." in token.rstrip(".") else None)
        if self.next == r"\frac" and token.isdigit():  # 2\frac{1}{3}, but 2\frac{x}{3}
            place = self.place
            part = self.value()
            above, below = part.parts
            if above.op == below.op == "number" and 0 < above.args[0] < below.args[0]:  # type: ignore[operator]
                return Node("add", ((value, part),))
            self.place = place
        return value

    def digits(self, token: str) -> Node:
        """Read a numeral in another base."""
        self.take("_")
        braced = self.takes("{")
        base = self.take()
        if braced:
            self.take("}")
        if not (base.isdigit() and 2 <= int(base) <= 36):
            raise UnreadableError(f"the base {base!r}")
        return Node("digits", (token, int(base)))

    def recurring(self, token: str) -> Node:
        r"""Read 0.1\overline{6}, exactly."""
        self.take(r"\overline")
        self.take("{")
        cycle = self.take()
        self.take("}")
        if not cycle.isdigit():
            raise UnreadableError(f"the repeated digits {cycle!r}")
        places = len(token.partition(".")[2])
        return number(Fraction(token) + Fraction(int(cycle), 10**places * (10 ** len(cycle) - 1)))

    def name(self, token: str) -> Node:
        """Read a name with its index and primes; f(2) is one, for nobody says what f is."""
        name = token.lstrip("\\")
        if name == "f" and self.next == "(" and ")" in self.tokens[self.place :]:
            end = self.tokens.index(")", self.place) + 1
            name, self.place = name + "".join(self.tokens[self.place : end]), end
        while True:
            if self.takes("_"):
                name += "_" + self.index()
            elif self.takes("'"):
                name += "'"
            else:
                return Node("name", (name,))

    def index(self) -> str:
        if not self.takes("{"):
            return self.take().lstrip("\\")
        found, depth = [], 1
        while depth:
            token = self.take()
            depth += (token == "{") - (token == "}")
            found.append(token.lstrip("\\"))
        return "".join(found[:-1])

    def function(self, name: str) -> Node:
        base, power = None, None
        while self.next in ("_", "^"):
            if self.take() == "_":
                base = self.value()
            else:
                power = self.exponent()
        argument = self.argument()
        if power is not None and power == number(-1):
            name, power = f"arc{name}", None
        if name in ("min", "max", "gcd", "lcm"):
            node = Node("call", (name, argument))
        elif name in ("log", "lg", "ln"):
            ten = number(10)
            node = Node("call", ("ln", argument)) if name == "ln" else Node("log", (base or ten, argument))
        else:
            node = Node("call", (name, argument))
        return node if power is None else Node("power", (node, power))

    def argument(self) -> Node:
        r"""Read what a function is of: brackets, or the factors up to the next function: ``\sin 2x \cos x``."""
        self.level += 1
        if self.level > MAX_NESTING:
            raise UnreadableError("nested too deeply")
        if self.next in ("(", "[", "{"):
            node = self.raised(self.value()) if self.next == "{" else self.value()
        else:
            sign = -1 if self.takes("-") else 1
            factors = [number(-1)] if sign < 0 else []
            factors.append(self.power())
            while self.begins_factor() and self.next not in ("(", "[", "{", "|") and self.next[1:] not in FUNCTIONS:
                factors.append(self.power())
            node = factors[0] if len(factors) == 1 else Node("multiply", (tuple(factors),))
        self.level -= 1
        return node

    def one(self) -> Node:
        r"""Read what a command takes without braces: one digit or one value."""
        token = self.next
        if token.isdigit() and len(token) > 1:
            self.tokens[self.place : self.place + 1] = [token[0], token[1:]]
        return self.value()


def negative(node: Node) -> Node:
    """Return the negative of a value."""
    if node.op == "number":
        return number(-Fraction(node.args[0]), node.places)  # type: ignore[arg-type]
    if node.op == "digits":
        return Node("digits", (f"-{node.args[0]}", node.args[1]))
    return Node("multiply", ((number(-1), node),))


def _divided(factors: list[Node], by: Node) -> Node:
    above = factors[0] if len(factors) == 1 else Node("multiply", (tuple(factors),))
    return Node("divide", (above, by))


def _bracket(parser: _Parser, opening: str) -> Node:
    bars, parser.bars = parser.bars, 0
    if opening == r"\{" and parser.takes(r"\}"):
        return Node("set", ((),))
    if opening == "{" and parser.takes("}"):
        raise UnreadableError("nothing in braces")
    inner = parser.sequence()
    closing = parser.take(*_CLOSING[opening])
    parser.bars = bars
    items = inner.args[0] if inner.op == "list" else (inner,)
    if opening == r"\{":
        return Node("set", (items,))
    if inner.op == "list":
        return Node("tuple", (opening + closing, items))
    if opening + closing not in ("()", "[]", "{}"):
        raise UnreadableError(f"{opening}..{closing}")
    return inner


def _fraction(parser: _Parser, token: str) -> Node:
    return Node("divide", (parser.one(), parser.one()))


def _root(parser: _Parser, token: str) -> Node:
    degree: Node = number(2)
    if parser.takes("["):
        degree = parser.sum()
        parser.take("]")
    return Node("root", (degree, parser.value()))


def _cube_root(parser: _Parser, token: str) -> Node:
    return Node("root", (number(3), parser.value()))


def _binomial(parser: _Parser, token: str) -> Node:
    return Node("binomial", (parser.one(), parser.one()))


def _absolute(parser: _Parser, token: str) -> Node:
    parser.bars += 1
    inner = parser.sum()
    parser.take(token)
    parser.bars -= 1
    return Node("call", ("abs", inner))


def _rounded(parser: _Parser, token: str) -> Node:
    name, closing = _ROUNDED[token]
    inner = parser.sum()
    parser.take(closing)
    return Node("call", (name, inner))


def _figure(parser: _Parser, token: str) -> Node:
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


def _accent(parser: _Parser, token: str) -> Node:
    inner = parser.value()
    if inner.op == "name" or inner.op == "multiply":
        return Node("name", (f"{token[1:]} {''.join(sorted(str(part.args[0]) for part in inner.parts or (inner,)))}",))
    raise UnreadableError(f"{token} of no name")


def _empty(parser: _Parser, token: str) -> Node:
    return Node("set", ((),))


def _matrix(parser: _Parser, token: str) -> Node:
    kind = _environment(parser)
    if kind == "array" and parser.takes("{"):
        while parser.take() != "}":
            pass
    rows: list[tuple[Node, ...]] = []
    row: list[Node] = [parser.sum()]
    while True:
        token = parser.take("&", "\\\\", r"\end")
        if token == "&":
            row.append(parser.sum())
            continue
        rows.append(tuple(row))
        if token == r"\end" or parser.takes(r"\end"):
            break
        row = [parser.sum()]
    if _environment(parser) != kind or len({len(row) for row in rows}) > 1 or len(rows) * len(rows[0]) > MAX_ITEMS:
        raise UnreadableError("a matrix that is not whole")
    return Node("matrix", tuple(Node("list", (row,)) for row in rows))


def _environment(parser: _Parser) -> str:
    parser.take("{")
    name = ""
    while (token := parser.take()) != "}":
        name += token
    if name not in _MATRICES:
        raise UnreadableError(f"the environment {name}")
    return name


_READERS: dict[str, Callable[[_Parser, str], Node]] = {
    "(": _bracket, "[": _bracket, "{": _bracket, r"\{": _bracket, r"\frac": _fraction, r"\sqrt": _root,
    r"\cbrt": _cube_root, r"\binom": _binomial, "|": _absolute, r"\lfloor": _rounded, r"\lceil": _rounded,
    r"\angle": _figure, r"\triangle": _figure, r"\overline": _figure, r"\overrightarrow": _accent, r"\vec": _accent,
    r"\hat": _accent, r"\dot": _accent, r"\ddot": _accent, r"\bar": _accent, r"\emptyset": _empty, r"\begin": _matrix,
}  # fmt: skip
_BEGIN = (
    set(_CONSTANTS) | {rf"\{name}" for name in GREEK | FUNCTIONS} | set(_READERS) - {"|", r"\{", r"\emptyset"}
)
