"""How shares become rows: whole numbers that keep the shares, passes that repeat no row, rows seen least.

Pure functions that several schedules draw with. They know nothing of what a share is for.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy

ONE = 2**32
"""Offsets and shares are counted in units of 2**-32, so that rounding is the same on every machine."""
_GOLDEN = 2654435769  # 2**32 / golden ratio: multiples of it, modulo 2**32, are spread as evenly as can be


def spread_offsets(seed: int, begin: int, end: int) -> numpy.ndarray:
    """Return an offset in units of 2**-32 for each step from ``begin`` to ``end``, spread evenly, int64."""
    return (seed % ONE + _GOLDEN * numpy.arange(begin, end, dtype=numpy.int64)) % ONE


def counts_by_share(shares_T_L: numpy.ndarray, count: int, offsets_T: numpy.ndarray) -> numpy.ndarray:
    """Round shares of a batch up or down, differently in each step, so that each step sums to ``count``.

    With Q_l the rows that are due to the levels up to l and u in [0, 1) the step's offset, level l gets
    floor(Q_l + u) - floor(Q_(l-1) + u): what is due to it in expectation over u.

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
    """Find what every step is dealt when steps are dealt from passes of ``size`` rows.

    A pass ends before the first step that it has too few rows left for.

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
    """Give what does not fit into a group to others that have room.

    Args:
        counts: rows wanted of each group.
        sizes: rows that each has; enough in all.
        preferred: the groups in the order in which they take what others cannot.

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


def least_visited(visits_N: numpy.ndarray, count: int, chance: random.Random | None = None) -> numpy.ndarray:
    """Return the places of those with the fewest visits.

    Args:
        visits_N: visits of each, (N,).
        count: how many, at most N.
        chance: chooses among equals; None for the first ones.

    Returns:
        Places, (count,), int64, fewest visits first.

    >>> least_visited(numpy.array([3, 0, 1, 1]), 2).tolist()
    [1, 2]
    """
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
