"""A second checker, independent of the verifier and much simpler: where the two differ, a person should look.

It knows no kinds, no options and no tolerances, so what it lists is a question and not yet a mistake.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterator
from typing import IO, Any

from rich.table import Table
from rich.text import Text

from observer.types import Experience, Verdict
from observer.verifier.notation import quote

SHOWN = 20
"""Disagreements that are shown; a file holds all of them."""
RELATIVE = 1e-6
"""How far two numbers may be apart, relative to the larger, to be the same."""

_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")


def same_text(gold: str, extracted: str) -> bool:
    """Return whether two answers are the same text, but for case, blanks, ``$`` around and a final period.

    >>> same_text("$7$", "7."), same_text("red square", "Red  Square"), same_text("7", "7.0")
    (True, True, False)
    """
    return _plain(gold) == _plain(extracted)


def same_number(gold: str, extracted: str) -> bool:
    """Return whether two answers are the same decimal number, to one part in a million.

    >>> same_number("1,234", "1234.0"), same_number("7", "7.1"), same_number("1/2", "1/2")
    (True, False, False)
    """
    numbers = [_number(text) for text in (gold, extracted)]
    return None not in numbers and math.isclose(*numbers, rel_tol=RELATIVE)  # type: ignore[arg-type]


def disagreements(experience: Experience) -> Iterator[dict[str, Any]]:
    """Yield the completions whose verdict the second checker would not have given, in order."""
    for group, scores in zip(experience.groups, experience.scores, strict=True):
        gold = group.problem.answer
        for completion, score in zip(group.completions, scores, strict=True):
            found = score.extracted
            text = found is not None and same_text(gold, found)
            objection = None
            if score.verdict is Verdict.CORRECT and not (
                text or (found is not None and same_number(gold, found))
            ):
                objection = "different"
            if score.verdict is Verdict.WRONG and text:
                objection = "same text"
            if objection is not None:
                yield {
                    "id": group.problem.id,
                    "index": completion.index,
                    "kind": group.problem.kind,
                    "answer": gold,
                    "extracted": found,
                    "verdict": str(score.verdict),
                    "reason": score.reason,
                    "audit": objection,
                }


class Audit:
    """Writes disagreements down, and keeps the first of them to be shown."""

    def __init__(self, file: IO[str]) -> None:
        """Name an open file."""
        self._file = file
        self._first: list[dict[str, Any]] = []
        self.count = 0

    def add(self, experience: Experience) -> None:
        """Write the disagreements over an experience, a line each."""
        for record in disagreements(experience):
            self._file.write(json.dumps(record, ensure_ascii=False) + "\n")
            self.count += 1
            if self.count <= SHOWN:
                self._first.append(record)

    def summary(self) -> Table | str:
        """Draw the first ones, or say that there are none."""
        if not self.count:
            return "audit: a second checker would have given every verdict"
        table = Table(title=f"audit: verdicts that a second checker would not have given: {self.count:,}")
        for heading in ("id", "#", "kind", "answer", "extracted", "verdict", "audit"):
            table.add_column(heading, overflow="fold", justify="right" if heading == "#" else "left")
        for record in self._first:
            texts = ["-" if (text := record[key]) is None else quote(text) for key in ("answer", "extracted")]
            cells = (quote(record["id"]), str(record["index"]), record["kind"], *texts)
            table.add_row(*map(Text, (*cells, record["verdict"], record["audit"])))  # no markup in them
        if self.count > SHOWN:
            table.caption = f"the first {SHOWN}"
        return table


def _plain(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".").strip("$").rstrip(".")


def _number(text: str) -> float | None:
    plain = _THOUSANDS.sub("", _plain(text)).replace("_", "?")  # float reads 1_0 as 10
    try:
        return float(plain)
    except ValueError:
        return None
