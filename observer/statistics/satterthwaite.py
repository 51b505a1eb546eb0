"""The variance of a mean from its shares, and the degrees of freedom of their sum."""

from __future__ import annotations


def combined(seed: float, problem: float, cell: float, seeds: float, clusters: float) -> tuple[float, float]:
    """Return the variance of a mean over crossed seeds and problems, and its degrees of freedom.

    The variance is ``seed + problem - cell``: both others contain ``cell``. A component that comes out below
    zero is taken as zero, as restricted maximum likelihood does::

        variance = max(seed, cell) + max(problem - cell, 0)

    A sum of mean squares ``V = sum_i V_i`` is distributed nearly as one with ``V^2 / sum_i (V_i^2 / df_i)``
    degrees of freedom. Those of seeds have S - 1, those of problems C - 1, those of cells (S - 1) (C - 1);
    where a component is taken as zero one mean square is left, with its own.

    Of four rules this one covers best where seeds or problems have little spread of their own: without the
    first ``max`` a variance near zero can come out by chance, and with S - 1 degrees of freedom there the
    interval of 3 seeds is twice as long as it need be.

    Args:
        seed: variance of the mean by the seeds' means.
        problem: variance of the mean by the problems' means.
        cell: variance of the mean by the rest.
        seeds: S; with 1 there are no mean squares of seeds and cells.
        clusters: C, different problems; with 1 there are no mean squares of problems and cells.

    Reference:
        Satterthwaite 1946, Biometrics Bulletin 2, 110-114.

    >>> combined(seed=2.0, problem=1.0, cell=0.0, seeds=3, clusters=101)
    (3.0, 4.477...)
    >>> combined(seed=2.0, problem=1.0, cell=1.5, seeds=3, clusters=101)
    (2.0, 2.0)
    >>> combined(seed=1.0, problem=2.0, cell=1.5, seeds=3, clusters=101)
    (2.0, 100.0)
    """
    if seeds <= 1 and clusters <= 1:
        return float("inf"), 0.0
    if seeds <= 1:
        return problem, float(clusters - 1)
    if clusters <= 1:
        return seed, float(seeds - 1)
    if seed < cell:
        if problem > cell:
            return problem, float(clusters - 1)
        return cell, float((seeds - 1) * (clusters - 1))
    if problem <= cell:
        return seed, float(seeds - 1)
    variance = seed + problem - cell
    squares = seed**2 / (seeds - 1) + problem**2 / (clusters - 1) + cell**2 / ((seeds - 1) * (clusters - 1))
    return variance, variance**2 / squares
