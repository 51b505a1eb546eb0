"""How many seeds or rows an experiment needs, and what those that there are can tell."""

from __future__ import annotations

import bisect
import math

from scipy.special import stdtrit

from observer.refusal import refuse_outside
from observer.statistics.estimate import Estimate
from observer.statistics.satterthwaite import combined
from observer.types import RefusedError

MOST_SEEDS = 10_000
MOST_ROWS = 10_000_000


def seeds_to_resolve(
    estimate: Estimate,
    *,
    half_width: float | None = None,
    effect: float | None = None,
    level: float = 0.95,
    power: float = 0.8,
) -> int | None:
    """Return the fewest seeds, on the same problems, that make an interval narrow or find an effect.

    The shares of seeds and cells in the variance go down with the number of seeds, that of the problems
    stays: ``V(S) = max(seed, cell) * S0 / S + max(problem - cell, 0)``, with the degrees of freedom that go
    with it. A plan, not a promise: the shares are estimates themselves, from few seeds rough ones.

    Args:
        estimate: of the seeds that there are.
        half_width: of the interval, at most this.
        effect: true mean for which the interval excludes 0 with the probability ``power``. A mean that
            was found is often larger than the true one, and a plan made from it too hopeful. One of the two
            is given.
        level: of the interval.
        power: above .5.

    Returns:
        Seeds in all, at least 2; None where no number is enough (problems are what limits, or more than
        ``MOST_SEEDS``) or where nothing is known of the seeds (one seed, or values that are all equal).

    Raises:
        RefusedError: both or none of ``half_width`` and ``effect`` are given, or one is not above 0.

    >>> from observer.statistics import student
    >>> seeds_to_resolve(student([0.0, 0.1, 0.2, 0.1]), half_width=0.05)
    13
    """
    if (half_width is None) == (effect is None):
        raise RefusedError(f"half_width is {half_width} and effect is {effect}; one of the two must be given")
    target = abs(effect or 0.0) if half_width is None else half_width
    refuse_outside("size of effect" if half_width is None else "half_width", target, above=0)
    refuse_outside("level", level, above=0, most=1 - 1e-12)
    refuse_outside("power", power, above=0.5, most=1 - 1e-12)
    if estimate.seeds < 2 or estimate.df == 0:
        return None
    quantiles = [(1 + level) / 2] + ([power] if half_width is None else [])

    def enough(seeds: int) -> bool:
        variance, df = _with_seeds(estimate, seeds)
        return sum(float(stdtrit(df, q)) for q in quantiles) * math.sqrt(variance) <= target

    if not enough(MOST_SEEDS):
        return None
    return bisect.bisect_left(range(2, MOST_SEEDS), True, key=enough) + 2


def _with_seeds(estimate: Estimate, seeds: int) -> tuple[float, float]:
    """Return the variance and the degrees of freedom that the estimate would have with other seeds."""
    share = estimate.seeds / seeds
    cell = estimate.cell_variance * share
    seed = max(estimate.seed_variance * share, cell)
    problem = max(estimate.problem_variance - estimate.cell_variance, 0.0) + cell
    return combined(seed, problem, cell, seeds, estimate.effective_clusters)


def rows_to_resolve(
    estimate: Estimate, effect: float, *, level: float = 0.95, power: float = 0.8
) -> int | None:
    """Return the fewest rows, of the same kind and with the same seeds, that find an effect.

    The variance of the mean by rows goes down with their number, and clusters go up with it. A plan, not a
    promise: see ``seeds_to_resolve``.

    Args:
        estimate: of the rows that there are.
        effect: true mean for which the interval excludes 0 with the probability ``power``.
        level: of the interval.
        power: above .5.

    Returns:
        Rows in all, at least 2; None where no number is enough (more than ``MOST_ROWS``) or where nothing is
        known of their spread.

    Raises:
        RefusedError: the effect is 0.

    >>> from observer.statistics import crossed
    >>> estimate = crossed([[1.0, 0, 0, -1, 1, 0, 0, 0] * 25])
    >>> rows_to_resolve(estimate, effect=0.125), rows_to_resolve(estimate, effect=0.06)
    (184, 790)
    """
    refuse_outside("size of effect", abs(effect), above=0)
    quantiles = _quantiles(level, power)
    if estimate.problems < 2 or estimate.df == 0:
        return None

    def enough(rows: int) -> bool:
        variance, df = _with_rows(estimate, rows)
        return df > 0 and sum(float(stdtrit(df, q)) for q in quantiles) * math.sqrt(variance) <= abs(effect)

    if not enough(MOST_ROWS):
        return None
    return bisect.bisect_left(range(2, MOST_ROWS), True, key=enough) + 2


def smallest_effect(estimate: Estimate, *, level: float = 0.95, power: float = 0.8) -> float | None:
    """Return the smallest true mean that the rows and seeds that there are would tell from 0.

    Args:
        estimate: of them.
        level: of the interval that excludes 0.
        power: how often it does, above .5.

    Returns:
        In the unit of the mean; None where nothing is known of the spread.

    >>> from observer.statistics import crossed
    >>> round(smallest_effect(crossed([[1.0, 0, 0, -1, 1, 0, 0, 0] * 25])), 4)
    0.1196
    """
    quantiles = _quantiles(level, power)
    if estimate.df == 0:
        return None
    return sum(float(stdtrit(estimate.df, q)) for q in quantiles) * estimate.error


def _quantiles(level: float, power: float) -> tuple[float, float]:
    refuse_outside("level", level, above=0, most=1 - 1e-12)
    refuse_outside("power", power, above=0.5, most=1 - 1e-12)
    return (1 + level) / 2, power


def _with_rows(estimate: Estimate, rows: int) -> tuple[float, float]:
    """Return the variance and the degrees of freedom that the estimate would have with other rows."""
    share = estimate.problems / rows
    cell = estimate.cell_variance * share
    seed = max(estimate.seed_variance - estimate.cell_variance, 0.0) + cell
    problem = estimate.problem_variance * share
    return combined(seed, problem, cell, estimate.seeds, estimate.effective_clusters / share)
