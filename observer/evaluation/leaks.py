"""Which rows of a benchmark were trained on? Equal pictures and texts; near ones where the extra is there."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from observer.data.fingerprints import text_number
from observer.data.rows import RowFormat, Rows
from observer.types import Problem

HOW = (
    "shows and asks the same",
    "shows the same picture",
    "asks the same",
    "shows and asks nearly the same",
)
"""How a row of a benchmark and one of the training data are related."""
SAME, PICTURE, TEXT, NEAR = range(len(HOW))


@dataclass(frozen=True)
class Leak:
    """A row of a benchmark that is in the training data."""

    id: str
    """Of the benchmark's row."""
    place: str
    """Where it is."""
    like: str
    """Id of the training row."""
    like_place: str
    """Where that is."""
    how: str
    """One of ``HOW``."""


def near_ones_too() -> bool:
    """Return whether the packages that find near copies are installed: the extra ``ladder``."""
    return all(importlib.util.find_spec(name) is not None for name in ("imagehash", "datasketch"))


def find(benchmarks: Mapping[str, Rows], train: Sequence[RowFormat]) -> dict[str, list[Leak]]:
    """Find the rows of benchmarks that are in the training data, in the order of the benchmark.

    Args:
        benchmarks: name -> rows.
        train: the training data; its rows are read one after the other, and only numbers are held of them.

    Raises:
        RefusedError: the training data is refused.
        LostInputError: a picture that was checked is gone or another one.
    """
    sources = [source.read() for source in train]
    return {name: list(_leaks(rows, sources)) for name, rows in benchmarks.items()}


def _leaks(benchmark: Rows, sources: Sequence[Rows]) -> Iterator[Leak]:
    found: dict[int, tuple[int, Problem]] = {}
    rows_of: dict[int, list[int]] = {}
    for row, number in zip(*map(np.ndarray.tolist, benchmark.digests()), strict=True):
        rows_of.setdefault(number, []).append(row)
    known_N = np.fromiter(rows_of, np.uint64, len(rows_of))
    for source in sources:
        of_R, number_R = source.digests()
        for place in np.flatnonzero(np.isin(number_R, known_N)).tolist():
            like = source[int(of_R[place])]
            for row in rows_of[int(number_R[place])]:
                same = _question(like) == _question(benchmark[row])
                how = (SAME if same else PICTURE) if like.pictures else TEXT
                if row not in found or how < found[row][0]:
                    found[row] = how, like
    if near_ones_too():
        for row, like in _near(benchmark, sources):
            found.setdefault(row, (NEAR, like))
    for row, (how, like) in sorted(found.items()):
        one = benchmark[row]
        yield Leak(one.id, one.source, like.id, like.source, HOW[how])


def _near(benchmark: Rows, sources: Sequence[Rows]) -> Iterator[tuple[int, Problem]]:
    """Yield rows of a benchmark and the training row that each is a near copy of."""
    from observer.data.duplicates import find_leaks, write_signatures  # needs scipy, which takes a moment

    with tempfile.TemporaryDirectory() as folder:
        signatures = write_signatures(benchmark, len(benchmark), Path(folder) / "benchmark.npy")
        for place, source in enumerate(sources):
            others = write_signatures(source, len(source), Path(folder) / f"{place}.npy")
            for one in find_leaks(
                cast(Sequence[Problem], benchmark), signatures, cast(Sequence[Problem], source), others
            ).found:
                yield one.row, source[one.like]


def _question(problem: Problem) -> int:
    return text_number([turn.text for turn in problem.turns if turn.role != "system"])


def told(leaks: Sequence[Leak]) -> list[dict[str, Any]]:
    """Return leaks as builtins."""
    return [asdict(leak) for leak in leaks]
