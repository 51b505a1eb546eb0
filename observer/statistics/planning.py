"""How many seeds an experiment needs."""

from __future__ import annotations

import bisect
import math

from scipy.special import stdtrit

from observer.refusal import refuse_outside
from observer.statistics.estimate import Estimate
from observer.statistics.satterthwaite import combined
from observer.types import RefusedError

MOST_SEEDS = 10_000


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
