"""The family of row formats: what opens a source of problems, and the rows of an opened source.

A format turns rows into ``Problem`` objects and makes all checks that need the row alone. It knows nothing of
tokens, of the order of draws, or of rewards, except whether a rule can check the gold answer.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from observer.curriculum import LadderIndex
from observer.data.fingerprints import shown_digests, with_sizes
from observer.refusal import shown
from observer.types import Problem


@dataclass(frozen=True)
class Skipped:
    """A row that was left out, and why."""

    file: str
    """Its file."""
    line: int
    """Its line, from 1."""
    id: str
    """Its id, or its default id where it could not be read."""
    reason: str
    """What is wrong with it."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: row {shown(self.id)}: {self.reason}"


class Identity(NamedTuple):
    """Two digests that show whether checked rows are still the same."""

    place: str
    """A digest of their origin and the options they are read with, whatever they hold."""
    digest: str
    """A digest of all that their content depends on."""


class Rows(ABC):
    """An opened source: a sequence of R problems, and the columns that the index needs."""

    difficulty: np.ndarray
    """Difficulty of each row in [0, 1], (R,), float32."""
    complexity: np.ndarray
    """Complexity of each row in tokens, (R,), float32."""
    level: np.ndarray
    """Level of each row, (R,), int64."""
    source: np.ndarray | None = None
    """Which of the sources each row is from, (R,), integers; None when all are from the first."""
    sources: Sequence[str] = ("all",)
    """Names of the sources, of which some may have no row."""
    skipped: Sequence[Skipped] = ()
    """Rows that were left out, in the order of the source."""
    identity: Identity | None = None
    """The key under which checks of these rows are cached; None when they are not cached."""

    @abstractmethod
    def __len__(self) -> int:
        """Return R."""

    @abstractmethod
    def __getitem__(self, row: int) -> Problem:
        """Return the problem of a row, made anew on each access.

        Raises:
            IndexError: the row does not exist.
        """

    @abstractmethod
    def checked_rows(self) -> Iterable[int]:
        """Return the rows that must be checked one by one before training, for example for their length."""

    def index(self) -> LadderIndex:
        """Return the index of all rows, without visits.

        Raises:
            RefusedError: there are no rows.
        """
        return LadderIndex(self.difficulty, self.complexity, self.level, self.source, self.sources)

    def source_name(self, row: int) -> str:
        """Return the name of the source that a row is from."""
        return self.sources[0 if self.source is None else int(self.source[row])]

    def fingerprints(self) -> np.ndarray:
        """Return eight bytes per row that differ where the row differs, (R,), uint64.

        This one makes every problem; a source of many rows has a faster one of its own.
        """
        return np.fromiter(map(with_sizes, self), np.uint64, len(self))

    def digests(self) -> tuple[np.ndarray, np.ndarray]:
        """Return pairs of a row and a digest of what it shows: of each of its pictures, else of its text.

        This one decodes every picture; a source that has decoded them knows their digests.

        Returns:
            The rows, (D,), int64, and the digests, (D,), uint64.

        Raises:
            LostInputError: a picture that was checked is gone or another one.
        """
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            found_R = threads.map(shown_digests, self)
            pairs = [(row, digest) for row, digests in enumerate(found_R) for digest in digests]
        return np.array([row for row, _ in pairs], np.int64), np.array([one for _, one in pairs], np.uint64)

    def __iter__(self) -> Iterator[Problem]:
        return (self[row] for row in range(len(self)))


class RowFormat(ABC):
    """A way to read problems. A member is a frozen dataclass; nothing is opened before ``read``."""

    @abstractmethod
    def read(self) -> Rows:
        """Open the source and check it.

        Raises:
            RefusedError: the source or one of its rows is refused.
        """

    def read_any_gold(self) -> Rows:
        """Open the source; a format that leaves out bad rows keeps those where only the gold answer is bad.

        Their kind of answer is the one that they name, or "". They are for those who mend rows: they cannot
        be trained on.
        """
        return self.read()
