"""How the gold answers of rows are spread: a ladder may have lost whole ranges of them."""

from __future__ import annotations

from array import array
from collections import Counter
from hashlib import blake2b
from typing import Any

import numpy as np

from observer.types import Problem
from observer.verifier.kinds.choice import read_choice
from observer.verifier.kinds.number import read_number
from observer.verifier.notation import clean

NUMBERS = ("integer", "number")
LETTERS = "choice"


class Answers:
    """Counts gold answers by their kind, in 16 bytes per row."""

    def __init__(self) -> None:
        self._kinds: Counter[str] = Counter()
        self._letters: Counter[str] = Counter()
        self._numbers = array("d")
        self._texts = array("Q")

    def add(self, problem: Problem, answer: str | None = None) -> None:
        """Count the gold answer of a problem, or the one it was corrected to."""
        answer = problem.answer if answer is None else answer
        self._kinds[problem.kind] += 1
        self._texts.append(int.from_bytes(blake2b(answer.encode(), digest_size=8).digest(), "little"))
        if problem.kind in NUMBERS and (value := _value(answer)) is not None:
            self._numbers.append(value)
        elif problem.kind == LETTERS and (chosen := read_choice(clean(answer), problem.options)) is not None:
            self._letters[chr(ord("A") + chosen.index)] += 1

    def record(self) -> dict[str, Any]:
        """Return the spread as builtins: rows by kind, different answers, range of numbers, letters."""
        found: dict[str, Any] = {
            "kinds": dict(sorted(self._kinds.items())),
            "different": len(np.unique(np.frombuffer(self._texts, np.uint64))) if self._texts else 0,
        }
        if self._numbers:
            quartiles = np.quantile(np.frombuffer(self._numbers), [0, 0.25, 0.5, 0.75, 1])
            found["quartiles"] = [round(float(value), 6) for value in quartiles]
        if self._letters:
            found["letters"] = dict(sorted(self._letters.items()))
        return found


def _value(answer: str) -> float | None:
    number = read_number(clean(answer))
    try:
        return None if number is None else float(number.value)
    except (OverflowError, ValueError):
        return None


def spoken(of: dict[str, Any], among: dict[str, Any]) -> list[str]:
    """Return sentences that compare the answers of a ladder with those of its input.

    Args:
        of: the record of the ladder.
        among: the record of the input.

    >>> spoken({"kinds": {"integer": 2}, "different": 2, "quartiles": [1, 1, 1, 4, 4]},
    ...        {"kinds": {"integer": 9}, "different": 8, "quartiles": [1, 2, 5, 7, 9]})[0]
    'answers: 2 different ones, of 8 in the input'
    """
    lines = [f"answers: {of['different']:,} different ones, of {among['different']:,} in the input"]
    if "quartiles" in of:
        ends = [f"{record['quartiles'][0]:g} .. {record['quartiles'][-1]:g}" for record in (of, among)]
        middle = [f"{record['quartiles'][2]:g}" for record in (of, among)]
        lines.append(
            f"numbers: {ends[0]}, of {ends[1]} in the input; the middle one is {middle[0]}, "
            f"and {middle[1]} there"
        )
    if "letters" in of:
        shares = [
            " ".join(
                f"{name} {count / sum(record['letters'].values()):.0%}"
                for name, count in record["letters"].items()
            )
            for record in (of, among)
        ]
        lines.append(f"letters: {shares[0]}; in the input {shares[1]}")
    if lost := sorted(among["kinds"].keys() - of["kinds"].keys()):
        lines.append(f"kinds of answers that the ladder has lost: {', '.join(lost)}")
    return lines
