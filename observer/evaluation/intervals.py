"""Means over rows with their intervals, clustered by picture, as figures and for people."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from observer.statistics import Estimate, crossed

DIGITS = 6
"""Digits that figures are rounded to."""


def score(values_P: np.ndarray, cluster_P: np.ndarray) -> list[float]:
    """Return a mean and the ends of its interval, clustered by picture."""
    found = estimate(values_P, cluster_P)
    return [round(value, DIGITS) for value in (found.mean, *found.interval())]


def estimate(
    values_P: np.ndarray, cluster_P: np.ndarray, bounds: tuple[float, float] = (0.0, 1.0)
) -> Estimate:
    """Return the mean over rows, with its error over other rows; those of a picture count as one."""
    return crossed(np.asarray(values_P, np.float64)[None], cluster_P.tolist(), bounds)


def interval_text(value: Sequence[float] | None) -> str:
    """Return a score for people.

    >>> interval_text([0.5, 0.41, 0.59]), interval_text(None)
    ('.500 (.410 .. .590)', '-')
    """
    if value is None:
        return "-"
    mean, low, high = (f"{one:.3f}".replace("0.", ".", 1) if one < 1 else f"{one:.2f}" for one in value)
    return f"{mean} ({low} .. {high})"
