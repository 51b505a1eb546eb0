"""Outcomes of runs that never were, with known means over all seeds and all problems.

V variants, S seeds, P problems. A seed and a problem have effects that all variants share, since they have
the start, the data order and the held-out problems in common, and others that are those of one variant.
"""

import numpy as np
from scipy.special import ndtr, ndtri

PROBLEM, OWN_PROBLEM = 1.0, 0.4
"""Standard deviations on the scale of the probit: of a problem, and of what it is to one variant."""


def generator(*key):
    """A stream of its own for each setting, so that none depends on which others are drawn."""
    return np.random.default_rng([15, *key])


def answers(rng, means_V, seed_sd, shape, boards_P=None):
    """Draw 0 or 1 of (repeat, variant, seed, problem); the chance of a 1 is a probit of the sum of effects.

    ``seed_sd`` is that of what a seed is to all variants, and that of what it is to one. The means of the
    variants over all seeds and problems are given: ``E ndtr(m + x) = ndtr(m / sqrt(1 + var x))``, x Gaussian.
    ``boards_P`` are labels: problems of the same label have the same effects.
    """
    repeats, seeds, problems = shape
    variants = len(means_V)

    def effects(sd, *shape):
        return sd * rng.standard_normal(shape, dtype=np.float32)

    of_problem = effects(PROBLEM, repeats, 1, 1, problems) + effects(
        OWN_PROBLEM, repeats, variants, 1, problems
    )
    if boards_P is not None:
        of_problem = of_problem[..., boards_P]
    of_seed = effects(seed_sd, repeats, 1, seeds, 1) + effects(seed_sd, repeats, variants, seeds, 1)
    spread = np.sqrt(1 + PROBLEM**2 + OWN_PROBLEM**2 + 2 * seed_sd**2)
    middle = (ndtri(np.asarray(means_V)) * spread).astype(np.float32)
    chances = ndtr(middle[:, None, None] + of_problem + of_seed)
    return rng.random(chances.shape, dtype=np.float32) < chances


def measured(rng, means_V, seed_sd, shape):
    """Draw Gaussian values of (repeat, variant, seed, problem), such as differences of lengths.

    The standard deviation of a problem is .3, that of a cell .6.
    """
    repeats, seeds, problems = shape
    variants = len(means_V)
    values = 0.6 * rng.standard_normal((repeats, variants, seeds, problems))
    values += 0.3 * rng.standard_normal((repeats, variants, 1, problems))
    values += seed_sd * rng.standard_normal((repeats, variants, seeds, 1))
    return values + np.asarray(means_V)[:, None, None]


def mean_squares(rng, shape, seeds, problems, seed_share, problem_share):
    """Draw what ``crossed`` computes of Gaussian values with a mean of 0: mean, seed, problem and cell.

    In the unit of the cells' part of the variance of the mean, of which the shares are multiples. These four
    are independent, and the last three distributed as chi-squared: no table has to be drawn.
    """

    def square(expected, df):
        return expected * rng.chisquare(df, shape) / df

    mean = np.sqrt(seed_share + problem_share + 1) * rng.standard_normal(shape)
    return (
        mean,
        square(seed_share + 1, seeds - 1),
        square(problem_share + 1, problems - 1),
        square(1, (seeds - 1) * (problems - 1)),
    )
