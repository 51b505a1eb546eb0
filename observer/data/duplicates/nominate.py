"""Nominates pairs of rows that may be copies, from their signatures alone, in bounded memory.

Rows are sorted by (family of questions, one band of the hash, brightness), once for each band, and a row is
compared with those that stand within ``LIGHT`` of it. Hashes of 256 bits in 16 bands that differ by less than
16 bits agree in a band at least, so that no copy as near as that is missed. It takes about 60 bytes per row
and 16 sorts.

Pictures that nearly all look alike, white boards say, would make as many pairs as there are rows squared: a
row is compared with ``MOST_NEIGHBOURS`` others of a band, those next in brightness, and rows for which that
was not all are ``crowded``. Equal pixels with equal questions are found without this limit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from observer.data.duplicates.signature import MINIMA

BANDS = 16
"""Of 16 bits each."""
MOST_BITS = 40
"""Bits of 256 by which the hashes of copies may differ."""
LIGHT, THUMBNAIL = 3.5, 16
"""Levels of 255 by which the mean brightness of copies, and a cell of their thumbnails, may differ."""
LEAST_MINIMA = 11
"""Numbers of 32 in which MinHashes of rewordings agree: ``LEAST_ALIKE`` less three standard deviations."""
MINIMA_PER_BAND = 4
MOST_NEIGHBOURS = 1000
PAIRS_AT_ONCE = 1 << 16
PLACE = np.int32
"""Of arrays that have a place for each row."""

_STEPS = 256
"""Steps of brightness in a level."""

Pairs = NDArray[np.int64]
"""(pairs, 2) rows; of one set the earlier row first, of two sets the row of the first set."""


class Nominations:
    """Pairs that may be copies, each of them once; iterate, then ask for ``crowded``.

    Args:
        rows: signatures of R rows.
        benchmark: signatures of other rows, to find copies of them; None to find copies within ``rows``.
    """

    def __init__(self, rows: NDArray[np.void], benchmark: NDArray[np.void] | None = None) -> None:
        self._rows = rows
        self._others = rows if benchmark is None else benchmark
        self._within = benchmark is None
        self._passed_over = np.full(len(self._others), -1, PLACE)

    def __iter__(self) -> Iterator[Pairs]:
        """Yield pairs, ``PAIRS_AT_ONCE`` at most at a time."""
        if not len(self._rows) or not len(self._others):
            return
        if self._within:
            first_R, copies = _equal_within(self._rows)
            yield from _cut(copies)
            kept = np.flatnonzero(first_R).astype(PLACE)
            del first_R, copies
            yield from self._near(kept, kept)
        else:
            yield from _equal_between(self._rows, self._others)
            rows, others = (np.arange(len(some), dtype=PLACE) for some in (self._rows, self._others))
            yield from self._near(rows, others)

    @property
    def crowded(self) -> Pairs:
        """Rows that were compared with some of their neighbours alone, each with one that was passed over.

        First those of ``rows``, then those of ``benchmark``, or of ``rows`` where there is none.
        """
        crowded = np.flatnonzero(self._passed_over >= 0)
        return np.stack([self._passed_over[crowded].astype(np.int64), crowded], axis=1)

    def _near(self, kept: NDArray[np.int32], asked: NDArray[np.int32]) -> Iterator[Pairs]:
        families, others = _families(self._rows, kept, self._others, asked)
        for band in range(BANDS):
            keys = _keys(self._rows, kept, families, band)
            order = np.argsort(keys, kind="stable").astype(PLACE)
            keys = keys[order]
            if self._within:
                first = np.arange(1, len(keys) + 1, dtype=PLACE)
                last = np.searchsorted(keys, _shifted(keys, LIGHT), "right").astype(PLACE)
                queries = kept[order]
            else:
                own = _keys(self._others, asked, others, band)
                first = np.searchsorted(keys, _shifted(own, -LIGHT), "left").astype(PLACE)
                last = np.searchsorted(keys, _shifted(own, LIGHT), "right").astype(PLACE)
                queries = asked
            del keys
            counts = last - first
            many = counts > MOST_NEIGHBOURS
            self._passed_over[queries[many]] = kept[order[last[many] - 1]]
            if not self._within:  # those in the middle are the nearest
                first += np.maximum(0, counts - MOST_NEIGHBOURS) // 2
            del last, many
            for query, neighbour in _ranges(first, np.minimum(counts, MOST_NEIGHBOURS, out=counts)):
                one, other = kept[order[neighbour]], queries[query]
                if self._within:
                    one, other = np.minimum(one, other), np.maximum(one, other)
                found = self._likely(one, other, band)
                if len(found):
                    yield found

    def _likely(self, one: NDArray[np.int64], other: NDArray[np.int64], band: int) -> Pairs:
        """Return the pairs whose signatures are near, and agree in no band before this one."""
        rows, others = self._rows, self._others
        one, other = one.astype(np.intp), other.astype(np.intp)
        hash_N, other_N = rows["hash"][one], others["hash"][other]
        bits_N = np.bitwise_count(hash_N ^ other_N).sum(axis=1, dtype=np.uint16)
        near = np.flatnonzero((bits_N <= MOST_BITS) | (rows["pictures"][one] == 0))  # few are left
        agree_N_B = hash_N[near].view("<u2") == other_N[near].view("<u2")
        one, other = one[near], other[near]
        near = np.argmax(agree_N_B, axis=1) == band
        near &= rows["pictures"][one] == others["pictures"][other]
        if not self._within:
            equal = rows["pixels"][one] == others["pixels"][other]
            near &= ~(equal & (rows["question"][one] == others["question"][other]))
        cells = rows["thumbnail"][one].astype(np.int16) - others["thumbnail"][other]
        near &= np.abs(cells).max(axis=(1, 2, 3)) <= THUMBNAIL
        minima_N = (rows["minima"][one] == others["minima"][other]).sum(axis=1)
        near &= minima_N >= LEAST_MINIMA
        return np.stack([one[near], other[near]], axis=1)


def _equal_within(rows: NDArray[np.void]) -> tuple[NDArray[np.bool_], Pairs]:
    """Return which rows are the first of their pixels, question and gold, and the others with their first."""
    keys = _mixed(rows["pixels"], rows["question"], rows["gold"])
    order = np.argsort(keys, kind="stable")
    new = np.ones(len(keys), bool)
    new[1:] = keys[order[1:]] != keys[order[:-1]]
    starts = np.flatnonzero(new)
    first = np.repeat(order[starts], np.diff(starts, append=len(keys)))
    first_R = np.zeros(len(keys), bool)
    first_R[order[new]] = True
    return first_R, np.stack([first[~new], order[~new]], axis=1)


def _equal_between(rows: NDArray[np.void], others: NDArray[np.void]) -> Iterator[Pairs]:
    """Yield the pairs of equal pixels and question."""
    keys, asked = (_mixed(some["pixels"], some["question"]) for some in (rows, others))
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.searchsorted(keys, asked, "left")
    counts = np.searchsorted(keys, asked, "right") - first
    for query, neighbour in _ranges(first, counts):
        yield np.stack([order[neighbour], query], axis=1)


def _families(
    rows: NDArray[np.void], kept: NDArray[np.int32], others: NDArray[np.void], asked: NDArray[np.int32]
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return a number for each row, equal for questions that a chain of like questions connects."""
    within = others is rows
    questions = rows["question"][kept]
    if not within:
        questions = np.concatenate([questions, others["question"][asked]])
    place, number = _distinct(questions)
    del questions
    labels = np.arange(len(place), dtype=PLACE)
    for start in range(0, MINIMA, MINIMA_PER_BAND):
        keys = np.empty(len(place), np.uint64)
        for begin in range(0, len(place), PAIRS_AT_ONCE):  # a signature takes as much as all else of a row
            some = place[begin : begin + PAIRS_AT_ONCE]
            mine = some < len(kept)
            minima_S_M = np.empty((len(some), MINIMA_PER_BAND), np.uint32)
            band = slice(start, start + MINIMA_PER_BAND)
            minima_S_M[mine] = rows["minima"][:, band][kept[some[mine]]]
            minima_S_M[~mine] = others["minima"][:, band][asked[some[~mine] - len(kept)]]
            keys[begin : begin + len(some)] = _mixed(*minima_S_M.T)
        labels = _connected(labels, keys)
    found = labels[number]
    return found[: len(kept)], found[len(kept) :] if not within else found


def _distinct(questions: NDArray[np.uint64]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return where each different question is first, and for each question its place among those."""
    order = np.argsort(questions, kind="stable").astype(PLACE)
    questions = questions[order]
    new = np.ones(len(order), bool)
    new[1:] = questions[1:] != questions[:-1]
    del questions
    number = np.empty(len(order), PLACE)
    number[order] = np.cumsum(new, dtype=PLACE) - 1
    return order[new], number


def _connected(labels: NDArray[np.int32], keys: NDArray[np.uint64]) -> NDArray[np.int32]:
    """Return labels that are equal also where a chain of equal keys connects them."""
    order = np.argsort(keys).astype(PLACE)
    keys = keys[order]
    same = np.flatnonzero(keys[1:] == keys[:-1]).astype(PLACE)
    del keys
    count = int(labels.max()) + 1
    for begin in range(0, len(same), PAIRS_AT_ONCE):  # a graph of all takes 40 bytes of each
        some = same[begin : begin + PAIRS_AT_ONCE]
        one, other = labels[order[some + 1]], labels[order[some]]
        graph = coo_array((np.ones(len(some), bool), (one, other)), shape=(count, count))
        count, merged = connected_components(graph, directed=False)
        labels = merged[labels]
    return labels


def _keys(
    some: NDArray[np.void], which: NDArray[np.int32], families: NDArray[np.int32], band: int
) -> NDArray[np.uint64]:
    """Return (family, band of the hash, brightness) as one number of 32, 16 and 16 bits."""
    keys: NDArray[np.uint64] = some["hash"][:, band // 4][which]
    keys >>= np.uint64(16 * (band % 4))
    keys &= np.uint64(0xFFFF)
    keys |= families.astype(np.uint64) << np.uint64(16)
    keys <<= np.uint64(16)
    keys |= np.rint(some["light"][which] * _STEPS).astype(np.uint64)
    return keys


def _shifted(keys: NDArray[np.uint64], levels: float) -> NDArray[np.uint64]:
    """Return keys of another brightness, of the same family and band."""
    light = (keys & np.uint64(0xFFFF)).astype(np.int32)
    light += round(levels * _STEPS)
    found: NDArray[np.uint64] = keys & ~np.uint64(0xFFFF)
    found |= np.clip(light, 0, 0xFFFF, out=light).astype(np.uint64)
    return found


def _ranges(
    first: NDArray[np.integer], counts: NDArray[np.integer]
) -> Iterator[tuple[NDArray[np.integer], NDArray[np.integer]]]:
    """Yield (place of the range, member of the range) of ranges, about ``PAIRS_AT_ONCE`` at a time."""
    some = np.flatnonzero(counts > 0).astype(PLACE)
    total = np.cumsum(counts[some], dtype=np.int64)
    start = 0
    while start < len(some):
        before = total[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(total, before + PAIRS_AT_ONCE, "right")))
        part = some[start:stop]
        place = np.repeat(part, counts[part])
        offset = np.arange(len(place)) - np.repeat(np.cumsum(counts[part]) - counts[part], counts[part])
        yield place, first[place] + offset
        start = stop


def _mixed(*numbers: NDArray[np.unsignedinteger]) -> NDArray[np.uint64]:
    """Return one number of 64 bits for several, in their order."""
    mixed = np.zeros(len(numbers[0]), np.uint64)
    for number in numbers:
        mixed = (mixed ^ number.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)  # wraps around
        mixed ^= mixed >> np.uint64(29)
    return mixed


def _cut(pairs: Pairs) -> Iterator[Pairs]:
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        yield pairs[start : start + PAIRS_AT_ONCE]
