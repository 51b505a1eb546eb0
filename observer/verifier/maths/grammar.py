r"""Reads a formula: what is written as by hand, and LaTeX as models and data sets write it.

A slash divides by the next factor only: ``1/3 x`` is a third of x. A radical sign and a power take the whole
number that follows. ``e``, ``i`` and ``\pi`` are the constants.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import TypeAlias

from observer.verifier.maths.tokens import FUNCTIONS, GREEK
from observer.verifier.maths.tree import Node, UnreadableError, negative, number

MAX_NESTING = 30
"""Values within one another, at most."""
MAX_CHAIN = 20
"""Divisions in a row, and signs such as ! behind a value, at most."""
MAX_ITEMS = 100
"""Items of a list, tuple, set or matrix, at most."""

RELATIONS = (
    *("=", "<", ">", r"\le", r"\ge", r"\ne", r"\approx", r"\in", r"\equiv"),
    *(r"\cong", r"\parallel", r"\perp", r"\sim"),
)
_CALLED = re.compile(
    r"[A-Za-z](?:_(?:[A-Za-z0-9]|\{[^{}]*\}))?'*(?:\^\{-1\})?'*\([A-Za-z](?:,[A-Za-z])*\)"  # f(x), f^{-1}(x)
    r"|\|?(?:m?\\angle)?[A-Z]{1,4}\|?|\\overline\{[A-Z]{2}\}|m\\angle\{[A-Z]+\}"  # AB
    r"|\\(?:sin|cos|tan)(?:[A-Za-z]|\\[a-z]+|(?:\\angle)?[A-Z]{1,3})"  # \cos A
)
"""What stands for one name before a relation sign."""
_SEPARATORS = (",", ";", r"\and", r"\or")
_CONSTANTS = {r"\pi": "pi", "e": "e", "i": "i", r"\infty": "infinity"}
_NO_FACTOR = ("|", r"\{", r"\emptyset")

Reader: TypeAlias = "Callable[[Parser, str], Node]"
"""Reads what a command or bracket, which has just been taken, begins."""


class Parser:
    """Reads tokens from left to right; each method reads one kind of formula and leaves what follows it."""

    def __init__(self, tokens: list[str], readers: Mapping[str, Reader]) -> None:
        self.tokens = tokens
        self.readers = readers
        self.place = 0
        self.level = 0
        self.bars = 0

    @property
    def next(self) -> str:
        """The next token; empty at the end."""
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

    def sequence(self) -> Node:
        """Read items with separators between them; one alone is itself."""
        items, said = [self.relation()], ""
        while self.next in _SEPARATORS:
            said = self.take()
            while self.next in (r"\and", r"\or"):  # 2, 3, and 5
                said = self.take()
            items.append(self.relation())
            if len(items) > MAX_ITEMS:
                raise UnreadableError("too many items")
        return items[0] if len(items) == 1 else Node("list", (tuple(items), said if said == r"\or" else ""))

    def relation(self) -> Node:
        """Read sides with relation signs between them; one alone is itself."""
        if self.next in ("=", r"\approx"):  # "=5", as answers are copied out of a line
            self.take()
        start, signs = self.place, list[str]()
        sides = [self.union()]
        while self.next in RELATIONS:
            sides[-1] = self.called(start, sides[-1])
            signs.append(self.take())
            start = self.place
            sides.append(self.union())
        if signs and sides[0].op == "name" and sides[0].text.isupper():  # AB = CD
            sides[-1] = self.called(start, sides[-1])
        if not signs and self.next == ":":
            while self.takes(":"):
                sides.append(self.union())
            return Node("ratio", (tuple(sides),))
        return sides[0] if not signs else Node("relation", (tuple(signs), tuple(sides)))

    def called(self, start: int, side: Node) -> Node:
        """Return a side as one name where it is one, such as f(x) or AB; a segment reads from either end."""
        text = "".join(self.tokens[start : self.place])
        if not _CALLED.fullmatch(text):
            return side
        text = text.strip("|")
        return Node("name", ("".join(sorted(text)) if len(text) == 2 and text.isupper() else text,))

    def union(self) -> Node:
        """Read sets with unions between them."""
        parts = [self.sum()]
        while self.takes(r"\cup"):
            parts.append(self.sum())
        return parts[0] if len(parts) == 1 else Node("union", (tuple(parts),))

    def sum(self) -> Node:
        """Read terms with their signs."""
        terms = [self.term()]
        while self.next in ("+", "-", r"\pm", r"\mp"):
            terms.append(self.term())
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
        factors, divisions = [self.power()], 0
        while True:
            if self.next in ("*", "/"):
                divides = self.take() == "/"
                minus = False
                while self.next in ("+", "-"):
                    minus ^= self.take() == "-"
                factor = self.power()
                if divides:
                    divisions += 1
                    factors = [_divided(factors, factor)]
                else:
                    factors.append(factor)
                sign = -sign if minus else sign
            elif self.begins_factor():
                factors.append(self.power())
            else:
                break
        if divisions > MAX_CHAIN:
            raise UnreadableError("too many divisions")
        product = factors[0] if len(factors) == 1 else Node("multiply", (tuple(factors),))
        if choice:
            product = Node("plus_minus", (choice * sign, product))
        elif sign < 0:
            product = negative(product)
        return product

    def begins_factor(self) -> bool:
        """Return whether what follows is multiplied without a sign: a name, a bracket, no second number."""
        token = self.next
        if not token or token in RELATIONS or token in _SEPARATORS:
            return False
        if token[0].isdigit() or token[0] == ".":
            return not self.tokens[self.place - 1][0].isdigit()
        if token == "|":
            return self.bars == 0
        return (
            token in ("(", "[", "{")
            or token.isalpha()
            or (
                token.startswith("\\")
                and (
                    (token in self.readers and token not in _NO_FACTOR)
                    or token in _CONSTANTS
                    or token[1:] in GREEK | FUNCTIONS
                )
            )
        )

    def power(self) -> Node:
        """Read a value with what is written behind it: powers, factorials, degrees."""
        return self.raised(self.value())

    def raised(self, node: Node) -> Node:
        """Read what is written behind a value."""
        for _ in range(MAX_CHAIN):
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
        raise UnreadableError("too many signs behind a value")

    def exponent(self) -> Node:
        """Read what a value is raised to."""
        minus = False
        while self.next in ("-", "+"):
            minus ^= self.take() == "-"
        return negative(self.value()) if minus else self.value()

    def value(self) -> Node:
        """Read a number, a name, a constant, a function or what is in brackets."""
        self.level += 1
        if self.level > MAX_NESTING:
            raise UnreadableError("nested too deeply")
        node = self.begun_by(self.take())
        self.level -= 1
        return node

    def begun_by(self, token: str) -> Node:
        """Read the value that a token begins."""
        if token[0].isdigit() or token[0] == ".":
            return self.number(token)
        if token in self.readers:
            return self.readers[token](self, token)
        if token in _CONSTANTS and not (len(token) == 1 and self.next in ("_", "'")):
            return Node("constant", (_CONSTANTS[token],))
        if token.isalpha() or token[1:] in GREEK:
            return self.name(token)
        if token[1:] in FUNCTIONS:
            return self.function(token[1:])
        raise UnreadableError(f"{token!r}")

    def number(self, token: str) -> Node:
        """Read a number: one in another base, a recurring one, a mixed one."""
        if self.next == "_" and token.isdigit():
            return self.digits(token)
        if self.next in (r"\overline", r"\dot") and "." in token:
            return self.recurring(token)
        plain = "." in token.rstrip(".") and "e" not in token.lower()
        value = number(Fraction(token), len(token.partition(".")[2]) if plain else None)
        if self.next == r"\frac" and token.isdigit():  # 2\frac{1}{3}, but 2\frac{x}{3}
            place = self.place
            part = self.value()
            above, below = part.parts
            if above.op == below.op == "number" and 0 < above.value < below.value:
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
        self.take()
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
        """Read what is written below a name."""
        if not self.takes("{"):
            return self.take().lstrip("\\")
        found, depth = [], 1
        while depth:
            token = self.take()
            depth += (token == "{") - (token == "}")
            found.append(token.lstrip("\\"))
        return "".join(found[:-1])

    def function(self, name: str) -> Node:
        """Read a function, what is written above and below it, and what it is of."""
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
        r"""Read what a function is of: brackets, or the factors up to the next one: ``\sin 2x \cos x``."""
        if self.next in ("(", "[", "{"):
            node = self.raised(self.value()) if self.next == "{" else self.value()
        else:
            sign = -1 if self.takes("-") else 1
            factors = [number(-1)] if sign < 0 else []
            factors.append(self.power())
            while (
                self.begins_factor()
                and self.next not in ("(", "[", "{", "|")
                and self.next[1:] not in FUNCTIONS
            ):
                factors.append(self.power())
            node = factors[0] if len(factors) == 1 else Node("multiply", (tuple(factors),))
        return node

    def one(self) -> Node:
        r"""Read what a command takes without braces: one digit or one value."""
        token = self.next
        if token.isdigit() and len(token) > 1:
            self.tokens[self.place : self.place + 1] = [token[0], token[1:]]
        return self.value()


def _divided(factors: list[Node], by: Node) -> Node:
    above = factors[0] if len(factors) == 1 else Node("multiply", (tuple(factors),))
    return Node("divide", (above, by))
