"""Wilson's interval of a share: how sure a pass rate of a few attempts is."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np


def wilson(successes_N: np.ndarray, trials_N: np.ndarray, confidence: float = 0.95) -> np.ndarray:
    """Return the lower and upper bound of shares, (2, N), float64; 0 and 1 where there were no trials.

    Args:
        successes_N: of each share, 0 .. trials.
        trials_N: of each share.
        confidence: how often the interval holds the true share, in (0, 1), two-sided.

    Reference: Wilson, Journal of the American Statistical Association 22 (1927).

    >>> wilson(np.array([0, 4, 8]), np.array([8, 8, 8])).round(3).tolist()
    [[0.0, 0.215, 0.676], [0.324, 0.785, 1.0]]
    """
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    trials_N = np.asarray(trials_N, np.float64)
    some_N = np.maximum(trials_N, 1)
    share_N = np.asarray(successes_N, np.float64) / some_N
    middle_N = share_N + z * z / (2 * some_N)
    reach_N = z * np.sqrt(share_N * (1 - share_N) / some_N + z * z / (4 * some_N**2))
    bounds_2_N: np.ndarray = np.stack([middle_N - reach_N, middle_N + reach_N]) / (1 + z * z / some_N)
    bounds_2_N = np.clip(bounds_2_N, 0, 1)
    bounds_2_N[0, share_N == 0], bounds_2_N[1, share_N == 1] = 0, 1  # rounding leaves 1e-17
    return np.where(trials_N > 0, bounds_2_N, np.array([[0.0], [1.0]]))
