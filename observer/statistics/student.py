"""The mean over seeds alone, for figures that have no problems."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from observer.statistics.crossed import crossed
from observer.statistics.estimate import Estimate
from observer.statistics.values import checked


def student(values_S: ArrayLike, bounds: tuple[float, float] | None = None) -> Estimate:
    """Estimate the mean over all seeds from one value each.

    The variance is ``s^2 / S``, with S - 1 degrees of freedom.

    For figures of a whole run, such as seconds, or an accuracy after equal tokens. The problems are taken as
    given: where outcomes per problem are there, ``crossed`` says more.

    Args:
        values_S: one per seed, or the paired difference of two runs of a seed.
        bounds: least and greatest value that there can be; None if there are none.

    Raises:
        RefusedError: there is no value, or one is not finite.

    Reference:
        Student 1908, Biometrika 6, 1-25.

    >>> estimate = student([1.0, 2.0, 3.0])
    >>> estimate.mean, round(estimate.variance, 6), estimate.df
    (2.0, 0.333333, 2.0)
    """
    return crossed(checked("values_S", values_S, dimensions=1)[:, np.newaxis], bounds=bounds)
