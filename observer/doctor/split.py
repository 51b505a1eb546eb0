"""What is known of the rows of one split: some 50 bytes of each."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from observer.data.duplicates.wording import gold_of, wording
from observer.data.rows import Rows
from observer.doctor.findings import Check
from observer.rollout.prompts import Length
from observer.types import Problem, RefusedError
from observer.verifier.kinds.choice import read_choice
from observer.verifier.notation import clean, fold

MOST_SHOWN = 20
"""Rows with a finding that are kept for the page, per split."""


@dataclass(eq=False)
class Split:
    """The rows of a split and what was measured of them."""

    name: str
    """``train``, ``val`` or ``test``."""
    where: str
    """What they are read from."""
    goes_on: bool
    """Whether a fit goes on without bad rows."""
    decoded: bool
    """Whether their pictures were decoded when they were read."""
    rows: Rows
    bad: dict[int, RefusedError] = field(default_factory=dict)
    """Rows that were read and are refused, and why."""
    pages: list[tuple[int, Check, str]] = field(default_factory=list)
    """Rows with a finding that the page shows: number, check, what."""
    measured: array[int] = field(default_factory=lambda: array("q"))
    """Numbers of the rows that were measured, in order."""
    vouched: int = 0
    """Rows that were not measured, as others stand for them."""
    tokens: array[int] = field(default_factory=lambda: array("q"))
    """Of each prompt that was measured and is not refused."""
    visual: array[int] = field(default_factory=lambda: array("q"))
    """Of each of these, tokens of its pictures."""
    asked: array[int] = field(default_factory=lambda: array("Q"))
    """Of each measured row, what it asks, as a number."""
    golds: array[int] = field(default_factory=lambda: array("Q"))
    """Of each measured row, its gold answer, as a number."""
    pixels: dict[int, list[int]] = field(default_factory=dict)
    """Digests of pictures that were not decoded when the rows were read."""
    answers: dict[str, array[int]] = field(default_factory=dict)
    """Of each kind, the answers of its rows, as numbers."""
    answered: dict[str, array[int]] = field(default_factory=dict)
    """Of each kind, the numbers of its rows."""

    def note(self, problem: Problem) -> None:
        """Note the answer of a row."""
        self.answers.setdefault(problem.kind, array("Q")).append(_number(answer_of(problem)))
        self.answered.setdefault(problem.kind, array("q")).append(problem.row)

    def measure(self, problem: Problem) -> None:
        """Note what a row asks."""
        self.note(problem)
        self.measured.append(problem.row)
        self.asked.append(_number(wording(problem)))
        self.golds.append(_number(gold_of(problem)))

    def lengthen(self, length: Length) -> None:
        """Note the length of a prompt."""
        self.tokens.append(length.total)
        self.visual.append(length.pictures)

    def show(self, row: int, check: Check, what: str) -> None:
        """Keep a row for the page, unless there are many."""
        if len(self.pages) < MOST_SHOWN and all(row != known for known, _, _ in self.pages):
            self.pages.append((row, check, what))

    def digests(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        """Return pairs of a measured row and a digest of what it shows, as ``Rows.digests``."""
        if self.decoded:
            return self.rows.digests()
        pairs = [(row, digest) for row, digests in self.pixels.items() for digest in digests]
        return (
            np.array([row for row, _ in pairs], np.int64),
            np.array([digest for _, digest in pairs], np.uint64),
        )


def answer_of(problem: Problem) -> str:
    """Return a gold answer as a guess would have to be: of a choice its letter, else its text."""
    if problem.kind == "choice" and (chosen := read_choice(problem.answer, problem.options)) is not None:
        return chr(ord("A") + chosen.index)
    return fold(clean(problem.answer))


def _number(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "little")
