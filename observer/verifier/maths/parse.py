r"""From the text of a formula to its tree."""

from __future__ import annotations

from functools import lru_cache

from observer.verifier.maths.commands import READERS
from observer.verifier.maths.grammar import Parser
from observer.verifier.maths.tokens import tokens_of
from observer.verifier.maths.tree import Node, UnreadableError


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
