"""Several tests of one experiment: p-values that hold for all of them together."""

from __future__ import annotations

from collections.abc import Mapping

from observer.refusal import refuse_outside


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return adjusted p-values: those at most .05 are false, any of them, in at most 5 % of experiments.

    Sorted upwards, the i-th of K (from 0) is multiplied by ``K - i``; none is less than one before it, none
    above 1. Holds whatever the tests have in common, such as a baseline.

    Args:
        p_values: name of a contrast -> its p-value, of **all** tests that were planned.

    Returns:
        The same names in the same order.

    Raises:
        RefusedError: a p-value is not in 0 .. 1; names its contrast.

    Reference:
        Holm 1979, Scandinavian J. Statistics 6, 65-70.

    >>> holm({"a": 0.02, "b": 0.01, "c": 0.4})
    {'a': 0.04, 'b': 0.03, 'c': 0.4}
    """
    for name, value in p_values.items():
        refuse_outside(f"p-value of {name}", value, least=0, most=1)
    adjusted: dict[str, float] = {}
    least = 0.0
    for place, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[name]))
        adjusted[name] = least
    return {name: adjusted[name] for name in p_values}


HOLM_ERRORS = {
    2: {1: 0.12, 2: 0.19, 4: 0.29, 8: 0.45, 16: 0.66},
    3: {1: 0.07, 2: 0.09, 4: 0.13, 8: 0.19, 16: 0.28},
    4: {1: 0.06, 2: 0.08, 4: 0.10, 8: 0.12, 16: 0.16},
    5: {1: 0.06, 2: 0.07, 4: 0.08, 8: 0.09, 16: 0.12},
    6: {1: 0.06, 2: 0.06, 4: 0.07, 8: 0.08, 16: 0.11},
    8: {1: 0.05, 2: 0.06, 4: 0.06, 8: 0.07, 16: 0.08},
    12: {1: 0.05, 2: 0.05, 4: 0.05, 8: 0.05, 16: 0.06},
}
"""Seeds -> contrasts -> the error of Holm's method at .05 as measured, at its worst; see ``holm_error``."""


def holm_error(seeds: int, contrasts: int) -> float:
    """Return how often, of contrasts that are all nothing, Holm's method finds one below .05.

    It keeps to .05 where p-values are exact. Those of ``crossed`` rest on an approximation that is good in
    the middle and too hopeful in the tails of few seeds, and Holm's method asks for the tails. Measured on
    48,000 simulated contrasts, independent of each other, with Gaussian values on 128 problems, where it is
    worst: seeds dominate, and problems tell a little. Where seeds differ less it is less, down to .02.
    ``tests/test_coverage.py`` holds the table to what it measures.

    Args:
        seeds: of each variant. Between two rows of the table, the one with fewer seeds counts.
        contrasts: primary ones. Between two columns, the one with more contrasts counts.

    Returns:
        A probability; 1 for a single seed, of which p-values say nothing on other seeds.

    >>> holm_error(3, 4), holm_error(5, 4), holm_error(8, 4)
    (0.13, 0.08, 0.06)
    """
    refuse_outside("seeds", seeds, least=1)
    refuse_outside("contrasts", contrasts, least=1)
    if seeds < min(HOLM_ERRORS):
        return 1.0
    row = HOLM_ERRORS[max(listed for listed in HOLM_ERRORS if listed <= seeds)]
    if contrasts > max(row):  # it grows less than their number does
        return min(1.0, row[max(row)] * contrasts / max(row))
    return row[min(listed for listed in row if listed >= contrasts)]
