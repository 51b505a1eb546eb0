"""From shares to rows: rounding that keeps shares over steps, passes without repeats, least visited rows.

Pure functions that several schedules use.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache

import numpy
import torch

ONE = 2**32
"""Offsets and shares are integers in units of 2**-32, so that rounding is the same on every machine."""
_GOLDEN = 2654435769  # 2**32 / golden ratio: multiples of it, modulo 2**32, are spread as evenly as can be


def spread_offsets(seed: int, begin: int, end: int) -> numpy.ndarray:
    """Return an offset in units of 2**-32 for each step from ``begin`` to ``end``, spread evenly, int64."""
    return (seed % ONE + _GOLDEN * numpy.arange(begin, end, dtype=numpy.int64)) % ONE


def counts_by_share(shares_T_L: numpy.ndarray, count: int, offsets_T: numpy.ndarray) -> numpy.ndarray:
    """Round shares of a batch up or down, differently in each step, so that each step sums to ``count``.

    With Q_l the exact share, in rows, of the levels up to l and u in [0, 1) the step's offset, level l gets
    floor(Q_l + u) - floor(Q_(l-1) + u) rows: its share in expectation over u.

    Args:
        shares_T_L: relative to their sum in each step, (T, L), not negative.
        count: rows of a batch.
        offsets_T: offset of each step in units of 2**-32, (T,), int64.

    Returns:
        Rows of each level in each step, (T, L), int64.

    >>> counts_by_share(numpy.array([[1.0, 1.0]] * 2), 3, numpy.array([0, 2**31])).tolist()
    [[1, 2], [2, 1]]
    """
    upto_T_L = numpy.cumsum(shares_T_L, axis=1)
    due_T_L = numpy.rint(upto_T_L / upto_T_L[:, -1:] * count * ONE).astype(numpy.int64)
    whole_T_L = (due_T_L + offsets_T[:, None]) >> 32
    return numpy.diff(whole_T_L, axis=1, prepend=0)


def deal_passes(counts_T: numpy.ndarray, size: int) -> tuple[numpy.ndarray, numpy.ndarray]:
    """Find the pass of every step, and its place there, when steps are dealt from passes of ``size`` rows.

    A pass ends before the first step for which too few of its rows are left.

    Args:
        counts_T: rows that each step draws, (T,), int64, each at most ``size``.
        size: rows of a pass.

    Returns:
        The number of the pass that each step is in, and where in it the step's rows begin, both (T,), int64.

    >>> [part.tolist() for part in deal_passes(numpy.array([2, 1, 2, 2, 2]), size=5)]
    [[0, 0, 0, 1, 1], [0, 2, 3, 0, 2]]
    """
    drawn_T = numpy.concatenate([[0], numpy.cumsum(counts_T)])  # rows drawn before each step, and in all
    number_T = numpy.zeros(len(counts_T), dtype=numpy.int64)
    begin_T = drawn_T[:-1].copy()
    first, number = 0, 0
    while first < len(counts_T):
        end = int(numpy.searchsorted(drawn_T, drawn_T[first] + size, side="right")) - 1
        number_T[first:end] = number
        begin_T[first:end] -= drawn_T[first]
        first, number = end, number + 1
    return number_T, begin_T


def fit(counts: Sequence[int], sizes: Sequence[int], preferred: Sequence[int]) -> list[int]:
    """Move counts that exceed the size of a group to groups with rows left.

    Args:
        counts: rows wanted per group.
        sizes: rows per group; enough in sum.
        preferred: the groups in the order in which they take the surplus.

    >>> fit([5, 1, 0], sizes=[2, 3, 9], preferred=[0, 1, 2])
    [2, 3, 1]
    """
    fitted = [min(wanted, size) for wanted, size in zip(counts, sizes, strict=True)]
    left = sum(counts) - sum(fitted)
    for group in preferred:
        more = min(left, sizes[group] - fitted[group])
        fitted[group] += more
        left -= more
    return fitted


def shuffled(rows: Sequence[int], seed: int) -> list[int]:
    """Return rows in a seeded order.

    >>> sorted(shuffled([4, 7, 9], seed=0))
    [4, 7, 9]
    """
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    return [rows[place] for place in order.tolist()]


def least_visited(
    visits_R: numpy.ndarray,
    count: int,
    chance: random.Random | None = None,
    pool: numpy.ndarray | None = None,
) -> numpy.ndarray:
    """Return the rows with the fewest visits.

    While unvisited rows are easy to find, not all rows are searched.

    Args:
        visits_R: visits of every row, (R,).
        count: how many rows, at most as many as there are to choose from.
        chance: chooses among equals; None for the first ones.
        pool: the rows to choose from, in their order; None for all.

    Returns:
        Distinct rows, (count,).

    >>> least_visited(numpy.array([3, 0, 1, 1]), 2).tolist()
    [1, 2]
    >>> least_visited(numpy.array([3, 0, 1, 1]), 2, pool=numpy.array([3, 0, 2])).tolist()
    [3, 2]
    """
    size = len(visits_R) if pool is None else len(pool)
    places = _unvisited(visits_R, count, chance, pool, size)
    if len(places) < count:
        places = _fewest(visits_R if pool is None else visits_R[pool], count, chance)
    return places if pool is None else pool[places]


def _unvisited(
    visits_R: numpy.ndarray,
    count: int,
    chance: random.Random | None,
    pool: numpy.ndarray | None,
    size: int,
) -> numpy.ndarray:
    """Return places of unvisited rows; fewer than ``count`` when they are not found quickly."""

    def among(places: numpy.ndarray) -> numpy.ndarray:
        unvisited: numpy.ndarray = places[visits_R[places if pool is None else pool[places]] == 0]
        return unvisited

    if chance is not None:  # the unvisited rows of a uniform sample are a uniform sample of them
        return among(numpy.array(chance.sample(range(size), min(size, 4 * count)), dtype=numpy.int64))[:count]
    found = numpy.zeros(0, dtype=numpy.int64)
    begin, look = 0, 4 * count
    while len(found) < count and begin < size:
        found = numpy.concatenate([found, among(numpy.arange(begin, min(begin + look, size)))])
        begin, look = begin + look, 2 * look
    return found[:count]


def _fewest(visits_N: numpy.ndarray, count: int, chance: random.Random | None) -> numpy.ndarray:
    found: list[numpy.ndarray] = []
    left, above = count, -1
    while left:
        rest_N = visits_N[visits_N > above] if found else visits_N
        above = rest_N.min()
        equal = numpy.flatnonzero(visits_N == above)
        if len(equal) > left:
            chosen = range(left) if chance is None else chance.sample(range(len(equal)), left)
            equal = equal[list(chosen)]
        found.append(equal)
        left -= len(equal)
    return numpy.concatenate(found) if found else numpy.zeros(0, dtype=numpy.int64)


@lru_cache(maxsize=16)  # about one per level; a permutation of a million rows takes 8 MB and 10 ms
def permutation(seed: int, size: int) -> torch.Tensor:
    """Return a uniformly drawn order of ``range(size)``, (size,), int64. It is cached: do not change it.

    A pass deals these rows in order, so none comes twice. It ends before the first step for which too few
    rows are left, since a batch over the end of a pass could hold a row twice. The rows left over differ from
    pass to pass.

    Args:
        seed: seed of the pass.
        size: rows in it.
    """
    return torch.randperm(size, generator=torch.Generator().manual_seed(seed))
