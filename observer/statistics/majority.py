"""maj@k: the probability that the most frequent of k answers is right."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike, NDArray

from observer.refusal import refuse_outside
from observer.statistics.values import checked

EXACT = 5000
"""Choices of k of n that are all looked at; of more, so many are drawn."""
NOTHING = -1
"""The label of a response without an answer, which has no vote."""
RIGHT = 0
"""The label of right answers: however they are written, they are one answer."""


def maj_at_k(labels_P_N: ArrayLike, k: int) -> NDArray[np.float64]:
    """Return an unbiased estimate of maj@k of each problem.

    The mean, over choices of k of the n samples, of the chance that the right answer wins the vote: 1 where
    it has most votes, 1 / t where it ties with t - 1 others, 0 elsewhere. All choices are looked at up to
    5,000; beyond, 5,000 are drawn by a fixed seed, the same for all problems.

    Args:
        labels_P_N: which answer each of n samples of a problem gave: 0 the right one, whole numbers above 0
            the others, -1 none at all.
        k: 1 .. n.

    Returns:
        (P,), in 0 .. 1.

    Raises:
        RefusedError: k is not in 1 .. n.

    Reference:
        Wang et al. 2022, arXiv 2203.11171 (self-consistency).

    >>> maj_at_k([[0, 0, 1], [0, 1, 2], [1, 1, 0]], 3).round(3).tolist()
    [1.0, 0.333, 0.0]
    >>> maj_at_k([[0, 0, 1, 1]], 1).tolist()
    [0.5]
    """
    labels_P_N = checked("labels_P_N", labels_P_N, dimensions=2).astype(np.int64)
    samples = labels_P_N.shape[1]
    refuse_outside("k", k, least=1, most=samples)
    choices = _choices(samples, k)
    total = np.zeros(len(labels_P_N))
    for choice in choices:
        votes_P_K = labels_P_N[:, choice]
        # (P, K): how many of the choice's votes each vote has with it
        agree_P_K = (votes_P_K[:, :, None] == votes_P_K[:, None, :]).sum(2) * (votes_P_K != NOTHING)
        most_P = agree_P_K.max(1)
        right_P = (votes_P_K == RIGHT).sum(1)
        ties_P = np.where(agree_P_K == most_P[:, None], 1.0 / np.maximum(agree_P_K, 1), 0.0).sum(1)
        total += np.where((right_P == most_P) & (right_P > 0), 1.0 / np.maximum(ties_P, 1), 0.0)
    return total / len(choices)


def _choices(samples: int, k: int) -> list[NDArray[np.int64]]:
    if comb(samples, k) <= EXACT:
        return [np.array(choice) for choice in combinations(range(samples), k)]
    rng = np.random.default_rng(0)
    return [rng.permutation(samples)[:k] for _ in range(EXACT)]
