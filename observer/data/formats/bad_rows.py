"""Bad rows of a file: collected, named in one refusal, or left out and listed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from observer.data.rows import Skipped
from observer.types import RefusedError

OnBadRow = Literal["refuse", "skip"]

NAMED_BAD_ROWS = 10
"""The most bad rows that one refusal names."""


class Place(NamedTuple):
    """Where a row is."""

    file: int
    """Which of the source's files."""
    line: int
    """Its line or row in that file, from 1."""


class BadRows:
    """Collects bad rows and, unless they are to be skipped, refuses the file.

    Args:
        path: of the source, for messages.
        files: its files.
        on_bad_row: what to do.
    """

    def __init__(self, path: str, files: Sequence[str], on_bad_row: OnBadRow) -> None:
        self._path = path
        self._files = files
        self._refuse = on_bad_row == "refuse"
        self._found: list[tuple[Place, Skipped]] = []

    @property
    def found(self) -> list[Skipped]:
        """The bad rows, in the order of the files."""
        return [row for _, row in sorted(self._found, key=lambda found: found[0])]

    def seen(self, count: int, pictures: bool = False) -> None:
        """Be told how many more rows were read, or, once all were, how many of their pictures; for people."""

    def add(self, place: Place, name: str, reason: str) -> None:
        """Add a bad row."""
        self._found.append((place, Skipped(self._files[place.file], place.line, name, reason)))
        if len(self._found) == NAMED_BAD_ROWS:
            self.settle(" (reading stopped here, there may be more)")

    def settle(self, more: str = "") -> None:
        """Refuse the file if it has bad rows and they are not to be skipped."""
        if self._refuse and self._found:
            count = f"{len(self._found)} bad row{'s' if len(self._found) > 1 else ''}"
            raise RefusedError(
                f"{self._path} holds {count}{more}; mend them or set on_bad_row to skip{self.listed()}"
            )

    def listed(self) -> str:
        """Return the first bad rows, one per line."""
        return "".join(f"\n  {row}" for row in self.found[:NAMED_BAD_ROWS])
