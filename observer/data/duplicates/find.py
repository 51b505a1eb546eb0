"""Finds the copies in a data set, and the rows of a benchmark that have leaked into it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from observer.data.duplicates.decide import Relation, relation
from observer.data.duplicates.nominate import Nominations
from observer.types import Problem


@dataclass(frozen=True, order=True)
class Found:
    """A row that is related to another one."""

    row: int
    like: int
    """An earlier row, or a row of the benchmark."""
    relation: Relation


@dataclass(frozen=True, eq=False)
class Copies:
    """What a data set holds twice."""

    first_R: NDArray[np.int64]
    """For each row the first one that asks the same; itself where there is none before."""
    doubtful: tuple[Found, ...]
    """Of the rows that are first: those with another gold answer than an earlier one, and rewordings."""
    crowded: NDArray[np.int64]
    """Rows that look like so many others that they were compared with the nearest alone, (N, 2): in front of
    each one that was passed over."""


@dataclass(frozen=True, eq=False)
class Leaks:
    """What a data set has in common with a benchmark."""

    found: tuple[Found, ...]
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
    doubtful: dict[tuple[int, int], Relation] = {}
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
            found = Relation.DUPLICATE if certain else relation(problems[like], problems[row])
            if found is Relation.DUPLICATE:
                first_R[row] = like
                continue
            apart.add((like, row))
            if found is not Relation.UNRELATED:
                doubtful[like, row] = found
    first_R = np.fromiter((_root(first_R, row) for row in range(len(first_R))), np.int64, len(first_R))
    related = sorted(
        Found(row, like, found)
        for (like, row), found in doubtful.items()
        if first_R[row] == row and first_R[like] == like
    )
    return Copies(
        first_R,
        tuple(related),
        nominations.crowded,
    )


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
    order = {found: place for place, found in enumerate(Relation)}
    best: dict[int, tuple[int, int]] = {}
    nominations = Nominations(signatures, benchmark_signatures)
    for pairs in nominations:
        equal = _equal(signatures, pairs, benchmark_signatures)
        for (row, like), certain in zip(pairs.tolist(), equal.tolist(), strict=True):
            if best.get(row, (1, 0)) <= (0, like):
                continue
            found = Relation.DUPLICATE if certain else relation(problems[row], benchmark[like])
            if found is not Relation.UNRELATED:
                best[row] = min(best.get(row, (len(order), 0)), (order[found], like))
    relations = list(Relation)
    found_rows = tuple(Found(row, like, relations[place]) for row, (place, like) in sorted(best.items()))
    return Leaks(found_rows, nominations.crowded)


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
