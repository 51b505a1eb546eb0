"""Several sources as one: the rows of each by its own format, one source after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from observer.data.checks.cache import digest
from observer.data.fingerprints import text_number
from observer.data.rows import Identity, RowFormat, Rows
from observer.refusal import shown
from observer.types import Problem, RefusedError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
OWN_SOURCE = "own_source"
"""The note that a row's own note ``source`` becomes."""


@dataclass(frozen=True)
class Together(RowFormat):
    """Rows of several sources, one source after the other, each under a name.

    The name stands before a row's id, ``math_vision/17``, and is its source in reports, in ladders and for
    schedules that tell sources apart; a note ``source`` of the row becomes ``own_source``.

    Args:
        sources: name -> rows, by any row format with options of its own.

    Example:
        >>> from observer.data import Tiles
        >>> rows = Together({"easy": Tiles(rows=8), "more": Tiles(rows=16, split="val")}).read()
        >>> len(rows), rows[9].id, rows.source_name(9)
        (24, 'more/tiles-val-1', 'more')
    """

    sources: Mapping[str, RowFormat]

    def __post_init__(self) -> None:
        if not self.sources:
            raise RefusedError("sources is empty; name at least one, with its rows")
        for name in self.sources:
            if not NAME.fullmatch(name):
                raise RefusedError(
                    f"sources: {shown(name)} cannot stand before an id; write letters, digits, '.', '_', '-'"
                )

    def __hash__(self) -> int:
        return hash(tuple(self.sources.items()))

    def read(self) -> TogetherRows:
        """Open all sources and check them.

        Raises:
            RefusedError: one of them, or one of its rows, is refused; the message begins with its name.
        """
        return self._opened(lambda source: source.read())

    def read_any_gold(self) -> TogetherRows:
        """Open all sources, each with the rows where only the gold answer is bad; see ``RowFormat``."""
        return self._opened(lambda source: source.read_any_gold())

    def _opened(self, read: Callable[[RowFormat], Rows]) -> TogetherRows:
        opened = {}
        for name, source in self.sources.items():
            try:
                opened[name] = read(source)
            except RefusedError as error:
                raise RefusedError(f"sources.{name}: {error}") from error
        return TogetherRows(opened)


class TogetherRows(Rows):
    """The rows of several opened sources, numbered anew.

    Args:
        parts: name -> rows.
    """

    def __init__(self, parts: Mapping[str, Rows]) -> None:
        self._parts: Sequence[Rows] = tuple(parts.values())
        self.sources = tuple(parts)
        lengths = [len(part) for part in self._parts]
        self._starts = np.cumsum([0, *lengths])
        self.difficulty = np.concatenate([part.difficulty for part in self._parts])
        self.complexity = np.concatenate([part.complexity for part in self._parts])
        self.level = np.concatenate([part.level for part in self._parts])
        self.source = np.repeat(np.arange(len(self._parts), dtype=np.int32), lengths)
        self.skipped = tuple(
            replace(row, id=f"{name}/{row.id}") for name, part in parts.items() for row in part.skipped
        )
        known = [part.identity for part in self._parts]
        if all(known):
            places, contents = zip(*((one.place, one.digest) for one in known if one), strict=True)
            self.identity = Identity(digest((self.sources, places)), digest((self.sources, contents)))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, row: int) -> Problem:
        row = range(len(self))[row]
        name, part = self.source_name(row), int(self.source[row]) if self.source is not None else 0
        problem = self._parts[part][row - int(self._starts[part])]
        notes = dict(problem.metadata)
        own = {OWN_SOURCE: notes["source"]} if "source" in notes else {}
        return replace(problem, row=row, id=f"{name}/{problem.id}", metadata={**own, **notes, "source": name})

    def checked_rows(self) -> Iterable[int]:
        """Return the rows to check of each source."""
        starts = self._starts.tolist()
        return [
            start + row
            for start, part in zip(starts, self._parts, strict=False)
            for row in part.checked_rows()
        ]

    def fingerprints(self) -> np.ndarray:
        """Return those of the sources, which differ with the name too, as ids do."""
        found: np.ndarray = np.concatenate(
            [
                part.fingerprints() ^ np.uint64(text_number([name]))
                for name, part in zip(self.sources, self._parts, strict=True)
            ]
        )
        return found

    def digests(self) -> tuple[np.ndarray, np.ndarray]:
        """Return those of the sources; see ``Rows``."""
        found = [part.digests() for part in self._parts]
        rows = [row_D + start for (row_D, _), start in zip(found, self._starts.tolist(), strict=False)]
        return np.concatenate(rows), np.concatenate([digest_D for _, digest_D in found])
