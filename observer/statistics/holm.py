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
