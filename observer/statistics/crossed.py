"""The mean over crossed seeds and problems, where both are a sample of what might have been drawn."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from observer.refusal import shown
from observer.statistics.estimate import Estimate
from observer.statistics.satterthwaite import combined
from observer.statistics.values import checked, checked_bounds, rounding
from observer.types import RefusedError


def crossed(
    values_S_P: ArrayLike,
    clusters_P: Sequence[Hashable] | None = None,
    bounds: tuple[float, float] | None = None,
) -> Estimate:
    """Estimate the mean over all seeds and all problems from the value of every seed on every problem.

    ``value = mean + seed + problem + rest``, all three random. Values are outcomes of one variant, or paired
    differences of two: of the same seed on the same problem. With ``U`` the deviations from the mean, summed
    over the problems of a cluster, ``N = S * P`` and ``w`` the share of problems that a cluster has::

        seed    = S / (S - 1) * sum_s (sum_c U)^2 / N^2
        problem = C / (C - 1) * sum_c (sum_s U)^2 / N^2           C = 1 / sum_c w^2
        cell    = S / (S - 1) * C / (C - 1) * sum_sc (U - w_c sum_c U - sum_s U / S)^2 / N^2
        variance = max(seed, cell) + max(problem - cell, 0)

    ``seed`` and ``problem`` both contain ``cell``. Without clusters, and where no component comes out below
    zero, this is ``(MS_seed + MS_problem - MS_rest) / N`` of the analysis of variance and what lmerTest
    finds; with clusters it is the two-way clustered variance of Cameron, Gelbach & Miller, with a factor for
    few clusters. ``C`` is their number where they are of equal size, else less: one that holds half of the
    problems counts for much. Degrees of freedom after Satterthwaite: see ``combined``.

    With one seed the variance is ``problem``, with one (cluster of) problem it is ``seed``.

    Args:
        values_S_P: one per seed and problem. Problems without a value of all seeds are left out before.
        clusters_P: label of each problem, equal where a problem repeats; None where none does.
        bounds: least and greatest value that a cell can have, such as (0, 1) of shares and (-1, 1) of their
            differences; for intervals near a bound, and of values that are all equal: see
            ``Estimate.interval``.

    Raises:
        RefusedError: values are missing, not finite or not rectangular; labels are not one per problem;
            bounds do not hold the values.

    Reference:
        Cameron, Gelbach & Miller 2011, J. Business & Economic Statistics 29, 238-249.

    >>> estimate = crossed([[1, 0, 1, 1], [1, 0, 0, 1], [1, 1, 1, 1]])
    >>> round(estimate.mean, 4), round(estimate.variance, 4), round(estimate.df, 2)
    (0.75, 0.0347, 2.65)
    """
    values_S_P = checked("values_S_P", values_S_P, dimensions=2)
    checked_bounds(bounds, values_S_P)
    seeds, problems = values_S_P.shape
    mean = float(values_S_P.mean())
    sums_S_C, sizes_C = _cluster_sums(values_S_P - mean, clusters_P)
    clusters = len(sizes_C)
    effective = problems**2 / float((sizes_C**2).sum())
    of_seeds = seeds / (seeds - 1) / values_S_P.size**2 if seeds > 1 else 0.0
    of_clusters = effective / (effective - 1) / values_S_P.size**2 if clusters > 1 else 0.0
    sums_S, sums_C = sums_S_C.sum(1), sums_S_C.sum(0)
    rest_S_C = sums_S_C - sums_S[:, None] * (sizes_C / problems) - sums_C / seeds
    seed = of_seeds * float((sums_S**2).sum())
    problem = of_clusters * float((sums_C**2).sum())
    cell = of_seeds * of_clusters * values_S_P.size**2 * float((rest_S_C**2).sum())
    variance, df = combined(seed, problem, cell, seeds, effective)
    if variance <= rounding(values_S_P) ** 2:
        variance, df = 0.0, 0.0
    return Estimate(mean, variance, df, seeds, problems, clusters, effective, seed, problem, cell, bounds)


def _cluster_sums(
    deviations_S_P: NDArray[np.float64], clusters_P: Sequence[Hashable] | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the sums of deviations over the problems of each cluster, (S, C), and their numbers, (C,)."""
    problems = deviations_S_P.shape[1]
    if clusters_P is None:
        return deviations_S_P, np.ones(problems)
    if len(clusters_P) != problems:
        raise RefusedError(
            f"clusters_P is {shown(clusters_P)}, {len(clusters_P)} labels; it must be one for each of the "
            f"{problems} problems"
        )
    place: dict[Hashable, int] = {}
    places_P = np.array([place.setdefault(label, len(place)) for label in clusters_P])
    sums_C_S = np.zeros((len(place), len(deviations_S_P)))
    np.add.at(sums_C_S, places_P, deviations_S_P.T)
    return sums_C_S.T, np.bincount(places_P).astype(np.float64)
