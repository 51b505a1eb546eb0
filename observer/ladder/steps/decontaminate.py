"""Removes rows that are in a benchmark, also as resized or recompressed copies."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from observer.data.duplicates.signature import SIGNATURE, write_signatures
from observer.data.rows import RowFormat
from observer.ladder.selection import Selection
from observer.ladder.step import BuildStep, keep
from observer.refusal import refuse_unless, shown
from observer.types import Problem

if TYPE_CHECKING:
    from observer.ladder.table import Table


@dataclass(frozen=True)
class Decontaminate(BuildStep):
    """Rows that a benchmark does not hold: those go that show and ask the same, whatever their answer.

    Copies are found as ``Duplicates`` finds them, whose signatures it reads; a question in other words with
    the same picture, numbers and answer goes too.

    Args:
        against: the benchmarks, by any row format.
    """

    against: tuple[RowFormat, ...]

    needs: ClassVar[tuple[str, ...]] = ("signature",)

    def __post_init__(self) -> None:
        refuse_unless(bool(self.against), self, "against", "name the benchmarks, each by a row format")

    def select(self, table: Table) -> Selection:
        """Keep the rows that are in no benchmark."""
        from observer.data.duplicates import find_leaks  # needs scipy, which takes a moment

        benchmark, asked = _read(self.against)
        with table.records("signature", SIGNATURE) as signatures:
            leaks = find_leaks(table, signatures, benchmark, asked)

        def reason(place: int) -> str:
            found = leaks.found.of(place)
            known = benchmark[found.like]
            how = {"reworded": "in other words", "other gold": "with another answer"}
            told = f", {how[found.relation]}" if found.relation in how else ""
            file = _file(known.source, self.against)
            return f"shows and asks the same as row {shown(known.id)} of {file}{told}"

        good_N = np.ones(len(table), bool)
        good_N[leaks.found.rows_N] = False
        review = []
        if len(leaks.crowded):
            row, like = leaks.crowded[0].tolist()
            known, count = benchmark[like], len(leaks.crowded)
            other = f"row {shown(known.id)} of {_file(known.source, self.against)}"
            why = f"was not compared with {other}: too many rows look like it"
            why += f", and like {count - 1} more of its rows" if count > 1 else ""
            review.append((int(table.rows_N[row]), why))
        return keep(table, good_N, reason, review)


class _Together(Sequence[Problem]):
    """The rows of several benchmarks, one after the other."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self._parts = parts
        self._starts = np.cumsum([0, *map(len, parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, place: Any) -> Any:
        part = int(np.searchsorted(self._starts, place, "right")) - 1
        return self._parts[part][int(place - self._starts[part])]


@lru_cache(maxsize=2)
def _read(formats: tuple[RowFormat, ...]) -> tuple[_Together, np.ndarray]:
    """Return the rows of some benchmarks and their signatures, mapped from a file that has no name."""
    rows = _Together([one.read() for one in formats])
    with tempfile.TemporaryDirectory() as folder:
        problems = map(rows.__getitem__, range(len(rows)))
        return rows, write_signatures(problems, len(rows), Path(folder) / "signatures.npy")


def _file(source: str, benchmarks: Sequence[object]) -> str:
    """Return where a row is from: the file, from the folder on that holds it or its benchmark's own folder.

    Where the folders of all benchmarks lie is left out: a ladder is the same wherever that is.

    >>> from types import SimpleNamespace
    >>> _file("/data/math_vista/test/0.parquet:4", [SimpleNamespace(path="/data/math_vista/test")])
    'math_vista/test/0.parquet:4'
    """
    paths = [getattr(each, "path", None) for each in benchmarks]
    folders = [Path(path).parent.parent for path in paths if path is not None]
    inside = [folder for folder in folders if Path(source).is_relative_to(folder)]
    deepest = max(inside, key=lambda folder: len(folder.parts), default=None)
    return source if deepest is None else str(Path(source).relative_to(deepest))
