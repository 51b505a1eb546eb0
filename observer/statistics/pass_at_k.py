"""pass@k: the probability that at least one of k answers is right."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from observer.refusal import refuse_outside
from observer.statistics.values import checked
from observer.types import RefusedError


def pass_at_k(correct_P: ArrayLike, samples: int, k: int) -> NDArray[np.float64]:
    """Return an unbiased estimate of pass@k of each problem: ``1 - C(n - c, k) / C(n, k)``.

    The share of all choices of k of the n samples with at least one of the c right ones among them. Computed
    as a product of ratios ``1 - k / i`` for i in n - c + 1 .. n, so that no binomial is formed. The usual
    ``1 - (1 - c / n)^k`` is biased downwards.

    Args:
        correct_P: c, right samples of each problem, 0 .. n.
        samples: n, drawn for each problem.
        k: 1 .. n.

    Returns:
        (P,), in 0 .. 1.

    Raises:
        RefusedError: k is not in 1 .. n, or a count is not a whole number in 0 .. n.

    Reference:
        Chen et al. 2021, arXiv 2107.03374, equation 1.

    >>> pass_at_k([0, 1, 2, 4], samples=4, k=2).round(4).tolist()
    [0.0, 0.5, 0.8333, 1.0]
    """
    refuse_outside("samples", samples, least=1)
    refuse_outside("k", k, least=1, most=samples)
    correct_P = checked("correct_P", correct_P, dimensions=1)
    odd = (correct_P < 0) | (correct_P > samples) | (correct_P != np.floor(correct_P))
    if odd.any():
        raise RefusedError(
            f"correct_P holds {correct_P[odd][0]:g}; it must be whole numbers in 0 .. {samples}"
        )
    failing = np.cumprod(np.maximum(1 - k / np.arange(samples, 0, -1.0), 0.0))  # of c = 1 .. n
    return 1 - np.concatenate([[1.0], failing])[correct_P.astype(np.int64)]
