r"""Answers of several parts: tuples, sets, lists, intervals and their unions.

Each part of a gold answer that is a number is compared as one, any other part as a text. Parts are set apart
by semicolons, else commas, else, where all of them are numbers, by blanks or ``and``. A comma between digits
is a thousands separator only where other commas are followed by a blank (``1,234, 5``).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from observer.verifier.kinds.checker import checker
from observer.verifier.kinds.number import Number, equal, read_number
from observer.verifier.kinds.words import read_text
from observer.verifier.notation import bare, split_top

Item = TypeVar("Item")

MAX_PARTS = 100
"""Most parts that an answer may have."""

_SIZED = re.compile(r"\\(?:left|right|bigg?|Bigg?)[lr]?(?![A-Za-z])\s*")
_BRACES = (
    (re.compile(r"\\\{|\\lbrace(?![A-Za-z])"), "{"),
    (re.compile(r"\\\}|\\rbrace(?![A-Za-z])"), "}"),
    (re.compile(r"\\langle(?![A-Za-z])|⟨"), "("),
    (re.compile(r"\\rangle(?![A-Za-z])|⟩"), ")"),
)
_AND = re.compile(
    r"(?:,| |\\(?:text|mbox|textrm|mathrm) ?\{) ?,? ?(?:and|or|&) ?(?: |\}|(?<= ))| ?[或和与] ?"
)
_UNION = re.compile(r"\\cup(?![A-Za-z])|[∪⋃]| [Uu] | or ")
_INFINITY = re.compile(r"([+-]?) ?(?:\\infty|∞|\binf\b|\binfinity\b|\boo\b)")
_EMPTY = ("{}", r"\emptyset", r"\varnothing", "∅", "Ø")


@dataclass(frozen=True)
class Part:
    """One part of an answer."""

    text: str
    """As a text, without what does not matter."""
    number: Number | None
    """As a number; None when it is none."""


@dataclass(frozen=True)
class Interval:
    """An interval."""

    brackets: str
    """Its two brackets; a round one leaves its end out."""
    ends: tuple[Part, ...]
    """Its two ends."""


def read_tuple(text: str) -> tuple[Part, ...] | None:
    r"""Read an ordered tuple: parts in round brackets, or in none.

    >>> read_tuple(r"\left(3, 4\right)") == read_tuple("3,4"), read_tuple("[3, 4]"), read_tuple("(3)")
    (True, None, None)
    """
    inner = _inside(text, "()")
    parts = None if inner is None else _parts(inner)
    return parts if parts is not None and len(parts) > 1 else None


def read_list(text: str) -> tuple[Part, ...] | None:
    """Read several values in order, in square brackets or in none.

    >>> [len(read_list(text)) for text in ("1228 142.67", "1, 2 and 3", "[5]", "1,234, 5")]
    [2, 3, 1, 2]
    """
    inner = _inside(text, "[]")
    return None if inner is None else _parts(inner)


def read_set(text: str) -> tuple[Part, ...] | None:
    r"""Read a set: parts in braces, or in none.

    >>> len(read_set(r"\{1, 2\}")), read_set(r"\emptyset"), read_set("(1, 2)")
    (2, (), None)
    """
    if bare(_plain(text)) in _EMPTY:
        return ()
    inner = _inside(text, "{}")
    return None if inner is None else _parts(inner)


def read_intervals(text: str) -> tuple[Interval, ...] | None:
    r"""Read an interval, or a union of them.

    >>> [interval.brackets for interval in read_intervals(r"(-\infty, 1] \cup [2, 3)")]
    ['(]', '[)']
    >>> read_intervals("1, 2"), read_intervals("(1, 2, 3)")
    (None, None)
    """
    intervals = []
    for piece in _UNION.split(bare(_plain(text)), MAX_PARTS):
        piece = piece.strip()
        brackets = piece[:1] + piece[-1:]
        parts = _parts(piece[1:-1]) if brackets in ("()", "[]", "(]", "[)") else None
        if parts is None or len(parts) != 2 or not _balanced(piece):
            return None
        intervals.append(Interval(brackets, parts))
    return tuple(intervals)


def same_part(gold: Part, prediction: Part) -> bool:
    """Return whether a part is right: by the number rule when the gold is a number, else by its text."""
    if gold.number is not None:
        return prediction.number is not None and equal(gold.number, prediction.number)
    return gold.text == prediction.text


def same_in_order(gold: tuple[Part, ...], prediction: tuple[Part, ...]) -> bool:
    """Return whether each part is right, in order."""
    return len(gold) == len(prediction) and all(map(same_part, gold, prediction))


def same_in_any_order(gold: tuple[Part, ...], prediction: tuple[Part, ...]) -> bool:
    """Return whether two sets are equal; parts that come twice count once."""
    gold, prediction = _distinct(gold), _distinct(prediction)
    return len(gold) == len(prediction) and _cover(gold, prediction, same_part)


def same_intervals(gold: tuple[Interval, ...], prediction: tuple[Interval, ...]) -> bool:
    """Return whether two unions have the same intervals, with the same brackets, in any order."""
    return len(gold) == len(prediction) and _cover(gold, prediction, _same_interval)


def infer_sequence(gold: str) -> str | None:
    r"""Return ``interval``, ``tuple`` or ``set`` when a gold answer is surely one of them.

    An interval has a square bracket, an infinite end or a union, and ends in order. A tuple has round
    brackets, a set braces, or numbers with ``or`` between them. Their parts are numbers or plain words: what
    holds formulas is an expression.

    >>> [infer_sequence(gold) for gold in ("(3,4)", "(3, 4]", r"\{1, 2\}", "[5, 2]", "(x+1)(x-1)", "3, 4")]
    ['tuple', 'interval', 'set', None, None, None]
    """
    intervals = read_intervals(gold)
    if intervals is not None and all(map(_rises, intervals)):
        first = intervals[0]
        infinite = any(end.number is None for interval in intervals for end in interval.ends)
        if len(intervals) > 1 or infinite or first.brackets != "()":
            return "interval"
    text = bare(_plain(gold))
    for kind, brackets, read in (("tuple", "()", read_tuple), ("set", "{}", read_set)):
        parts = read(gold) if text[:1] + text[-1:] == brackets else None
        if parts is not None and all(part.number or _is_word(part.text) for part in parts):
            return kind
    if text in _EMPTY or (_AND.search(text) and looks_like_list(gold)):
        return "set"
    return None


def looks_like_list(gold: str) -> bool:
    """Return whether a gold answer is surely a list: two or more numbers.

    >>> looks_like_list("1228 142.67"), looks_like_list("[1, 2]"), looks_like_list("red, blue")
    (True, True, False)
    """
    parts = read_list(gold)
    return parts is not None and len(parts) > 1 and all(part.number is not None for part in parts)


def _plain(text: str) -> str:
    """Write brackets in one way."""
    text = _SIZED.sub("", text)
    for pattern, bracket in _BRACES:
        text = pattern.sub(bracket, text)
    return text


def _inside(text: str, brackets: str) -> str | None:
    """Return the text between brackets, or all of it when it has none; None in other brackets."""
    text = bare(_plain(text))
    if text[:1] + text[-1:] == brackets and _balanced(text):
        return text[1:-1].strip()
    return None if text[:1] in ("(", "[", "{") and _balanced(text) else text


def _balanced(text: str) -> bool:
    """Return whether the first bracket is closed by the last character."""
    depth = 0
    for position, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if depth <= 0:
            return position == len(text) - 1
    return False


def _parts(text: str) -> tuple[Part, ...] | None:
    """Read the parts of a text: as numbers where there is a way to, else apart at semicolons or commas."""
    ways = [split_top(text, ";")] if ";" in text else _ways(text)
    for way in ways:
        parts = _read(way)
        if parts is not None and all(part.number is not None for part in parts):
            return parts
    return _read(ways[0])


def _ways(text: str) -> list[list[str]]:
    text = " ".join(text.replace("、", ",").split())
    commas = split_top(text, ",")
    ways = [commas]
    if ", " in text and len(spaced := split_top(text.replace(", ", "; "), ";")) < len(commas):
        ways.insert(0, spaced)
        # 1,234, 5: only where what the other commas join are numbers, else they are like the rest.
        if any(read_number(part) is None for part in spaced):
            ways.pop(0)
    if _AND.search(text):
        ways.append([part for part in split_top(_AND.sub(",", text), ",") if part])
    if len(text.split(" ")) <= MAX_PARTS:
        ways.append(text.split())
    return ways


def _read(pieces: list[str]) -> tuple[Part, ...] | None:
    """Read parts; None when one of them is blank, or when there are too many."""
    if not 0 < len(pieces) <= MAX_PARTS:
        return None
    parts = []
    for piece in pieces:
        text = read_text(piece)
        if text is None:
            return None
        parts.append(Part(_INFINITY.sub(r"\1inf", text).removeprefix("+"), read_number(piece)))
    return tuple(parts)


def _distinct(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    return tuple({part.number or part.text: part for part in parts}.values())


def _cover(gold: tuple[Item, ...], prediction: tuple[Item, ...], same: Callable[[Item, Item], bool]) -> bool:
    """Return whether each of the gold is matched by one of the prediction, and the other way round."""
    return all(any(same(right, given) for given in prediction) for right in gold) and all(
        any(same(right, given) for right in gold) for given in prediction
    )


def _same_interval(gold: Interval, prediction: Interval) -> bool:
    return gold.brackets == prediction.brackets and same_in_order(gold.ends, prediction.ends)


def _rises(interval: Interval) -> bool:
    """Return whether an interval's ends are numbers or infinite, the lower one first."""
    low, high = interval.ends
    if (low.number is None and low.text != "-inf") or (high.number is None and high.text != "inf"):
        return False
    return low.number is None or high.number is None or low.number.value < high.number.value


def _is_word(text: str) -> bool:
    return all(letter.isalpha() or letter in " '-" for letter in text) and text not in ("inf", "-inf")


check_tuple = checker("a tuple", read_tuple, same_in_order)
"""Checks a tuple: the same parts in the same order."""
check_list = checker("a list", read_list, same_in_order)
"""Checks several values: all of them, in order."""
check_set = checker("a set", read_set, same_in_any_order)
"""Checks a set: the same parts in any order."""
check_interval = checker("an interval", read_intervals, same_intervals)
"""Checks an interval or a union: the same ends and brackets."""
