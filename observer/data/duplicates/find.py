"""Finds the copies in a data set, and the rows of a benchmark that have leaked into it."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from observer.data.duplicates.decide import Relation, relation
from observer.data.duplicates.nominate import Nominations
from observer.types import Problem

RELATIONS = tuple(Relation)
"""The more alike two rows are, the earlier."""
READ = 1024
"""Rows that are kept for the next pair that they are in: pairs of one picture come close to each other."""
REMEMBERED = 1 << 16
"""Pairs that are known to be apart, so that other copies of theirs need not be compared again."""


@dataclass(frozen=True, order=True)
class Found:
    """A row that is related to another one."""

    row: int
    like: int
    """An earlier row, or a row of the benchmark."""
    relation: Relation


class Relations(Sequence[Found]):
    """Related rows, sorted by row, in 24 bytes each.

    Args:
        rows_N: the later rows, or those of the data set.
        like_N: an earlier row of each, or a row of the benchmark.
        relation_N: the place of the relation in ``RELATIONS``.
    """

    def __init__(self, rows_N: Any, like_N: Any, relation_N: Any) -> None:
        order_N = np.lexsort((like_N, rows_N))
        self.rows_N, self._like_N, self._relation_N = (
            np.asarray(values_N, np.int64)[order_N] for values_N in (rows_N, like_N, relation_N)
        )

    def __len__(self) -> int:
        return len(self.rows_N)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[at] for at in range(*place.indices(len(self)))]
        return Found(
            int(self.rows_N[place]), int(self._like_N[place]), RELATIONS[int(self._relation_N[place])]
        )

    def of(self, row: int) -> Found:
        """Return the first one of a row that has some."""
        found: Found = self[int(np.searchsorted(self.rows_N, row))]
        return found


@dataclass(frozen=True, eq=False)
class Copies:
    """What a data set holds twice."""

    first_R: NDArray[np.int64]
    """For each row the first one that asks the same; itself where there is none before."""
    doubtful: Relations
    """Of the rows that are first: those with another gold answer than an earlier one, and rewordings."""
    crowded: NDArray[np.int64]
    """Rows that look like so many others that they were compared with the nearest alone, (N, 2): in front of
    each one that was passed over."""


@dataclass(frozen=True, eq=False)
class Leaks:
    """What a data set has in common with a benchmark."""

    found: Relations
    """By row, each once: a duplicate where there is one, else another gold answer, else a rewording."""
    crowded: NDArray[np.int64]
    """Rows of the benchmark that look like so many rows that they were compared with the nearest alone,
    (N, 2): in front of each a row that was passed over."""


def find_copies(problems: Sequence[Problem], signatures: NDArray[np.void]) -> Copies:
    """Find rows of a data set that are copies of earlier ones; nothing is dropped here.

    Args:
        problems: the rows, read as they are needed.
        signatures: those of the rows, in their order; see ``write_signatures``.

    Raises:
        LostInputError: a picture that was checked is gone or another one.
    """
    first_R = np.arange(len(problems))
    read = lru_cache(READ)(problems.__getitem__)
    doubtful = array("q")
    apart: set[tuple[int, int]] = set()
    nominations = Nominations(signatures)
    for pairs in nominations:
        equal = _equal(signatures, pairs)
        for pair, certain in zip(pairs.tolist(), equal.tolist(), strict=True):
            # Those that would be kept are compared: a small copy may be near to two rows that differ.
            like, row = sorted(_root(first_R, member) for member in pair)
            if like == row or (like, row) in apart:
                continue
            certain = certain and [like, row] == pair
            found = Relation.DUPLICATE if certain else relation(read(like), read(row))
            if found is Relation.DUPLICATE:
                first_R[row] = like
                continue
            if len(apart) == REMEMBERED:
                apart.clear()
            apart.add((like, row))
            if found is not Relation.UNRELATED:
                doubtful.extend((row, like, RELATIONS.index(found)))
    first_R = np.fromiter((_root(first_R, row) for row in range(len(first_R))), np.int64, len(first_R))
    return Copies(first_R, _among_first(first_R, doubtful), nominations.crowded)


def _among_first(first_R: NDArray[np.int64], doubtful: array[int]) -> Relations:
    """Return the relations of rows that are first, each once: one that was forgotten may be there twice."""
    rows_N, like_N, relation_N = np.frombuffer(doubtful, np.int64).reshape(-1, 3).T
    order_N = np.lexsort((like_N, rows_N))
    rows_N, like_N, relation_N = rows_N[order_N], like_N[order_N], relation_N[order_N]
    good_N = (first_R[rows_N] == rows_N) & (first_R[like_N] == like_N)
    good_N[1:] &= (rows_N[1:] != rows_N[:-1]) | (like_N[1:] != like_N[:-1])
    return Relations(rows_N[good_N], like_N[good_N], relation_N[good_N])


def find_leaks(
    problems: Sequence[Problem],
    signatures: NDArray[np.void],
    benchmark: Sequence[Problem],
    benchmark_signatures: NDArray[np.void],
) -> Leaks:
    """Find rows of a data set that a benchmark holds, whatever their gold answers.

    Args:
        problems: the rows, read as they are needed.
        signatures: those of the rows, in their order; see ``write_signatures``.
        benchmark: the rows that must not be trained on.
        benchmark_signatures: those of its rows.

    Raises:
        LostInputError: a picture that was checked is gone or another one.
    """
    best_R = np.full(len(problems), len(RELATIONS), np.int8)
    like_R = np.zeros(len(problems), np.int64)
    read, known = (lru_cache(READ)(rows.__getitem__) for rows in (problems, benchmark))
    nominations = Nominations(signatures, benchmark_signatures)
    for pairs in nominations:
        equal = _equal(signatures, pairs, benchmark_signatures)
        for (row, like), certain in zip(pairs.tolist(), equal.tolist(), strict=True):
            before = (int(best_R[row]), int(like_R[row]))
            if before <= (0, like):
                continue
            found = Relation.DUPLICATE if certain else relation(read(row), known(like))
            if found is not Relation.UNRELATED:
                best_R[row], like_R[row] = min(before, (RELATIONS.index(found), like))
    leaked = np.flatnonzero(best_R < len(RELATIONS))
    return Leaks(Relations(leaked, like_R[leaked], best_R[leaked]), nominations.crowded)


def _equal(
    signatures: NDArray[np.void], pairs: NDArray[np.int64], others: NDArray[np.void] | None = None
) -> NDArray[np.bool_]:
    """Return which pairs have the same pixels, question and gold: no picture need be decoded again."""
    others = signatures if others is None else others
    same = np.ones(len(pairs), bool)
    for name in ("pixels", "question", "gold"):
        same &= signatures[name][pairs[:, 0]] == others[name][pairs[:, 1]]
    return same


def _root(first_R: NDArray[np.int64], row: int) -> int:
    """Return the first row that a row is a copy of, by way of others; the way is made shorter."""
    while (above := int(first_R[row])) != row:
        first_R[row] = first_R[above]
        row = above
    return row
