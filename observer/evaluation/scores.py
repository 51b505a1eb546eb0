"""The scores of a benchmark: accuracy with intervals clustered by picture, pass@k, maj@k, breakdowns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from observer.evaluation.extractors import EXTRACTORS
from observer.evaluation.intervals import DIGITS, score
from observer.evaluation.outcomes import Outcomes
from observer.statistics import maj_at_k, pass_at_k


def scores(outcomes: Outcomes) -> dict[str, Any]:
    """Return the scores of a benchmark as builtins.

    Each score is ``[mean, low, high]``, its 95 % interval over rows; those of the same pictures are one.

    Args:
        outcomes: at least one row that was asked.
    """
    samples = outcomes.labels_P_N.shape[1]
    found: dict[str, Any] = {
        "rows": len(outcomes),
        "not_asked": len(outcomes.faults),
        "clusters": len(np.unique(outcomes.cluster_P)),
        "responses": samples,
        "greedy": score(outcomes.greedy_P, outcomes.cluster_P),
    }
    if samples:
        right_P = outcomes.right_P_N.sum(1)
        found["sampled"] = score(right_P / samples, outcomes.cluster_P)
        for k in powers(samples)[1:]:
            found[f"pass@{k}"] = score(pass_at_k(right_P, samples, k), outcomes.cluster_P)
        for k in powers(samples)[2:]:
            found[f"maj@{k}"] = score(maj_at_k(outcomes.labels_P_N, k), outcomes.cluster_P)
    found["extractors"] = {
        name: score(outcomes.extracted_P_E[:, place], outcomes.cluster_P)
        for place, name in enumerate(EXTRACTORS)
    }
    found["shares"] = {
        "formatted": _mean(outcomes.formatted_P),
        "truncated": _mean(outcomes.truncated_P),
        "unparsed": _mean(outcomes.unparsed_P),
        "unverifiable": _mean(outcomes.unverifiable_P),
    }
    found["tokens"] = _mean(outcomes.tokens_P)
    found["chains"] = {
        name: score(values_P[~np.isnan(values_P)], outcomes.cluster_P[~np.isnan(values_P)])
        for name, values_P in outcomes.chains_P.items()
        if not np.isnan(values_P).all()
    }
    right = int(outcomes.greedy_P.sum())
    found["tokens_per_correct"] = round(float(outcomes.tokens_P.sum()) / right, DIGITS) if right else None
    found["groups"] = {
        name: broken_down(outcomes, names) for name, names in outcomes.groups.items() if len(set(names)) > 1
    }
    return found


def broken_down(outcomes: Outcomes, names: Sequence[str]) -> dict[str, Any]:
    """Return group -> its rows and its greedy score; groups that are numbers in their order."""
    of_P = np.array(names, object)
    found = {}
    for name in sorted(set(names), key=_order):
        at = of_P == name
        found[name] = {"rows": int(at.sum()), "greedy": score(outcomes.greedy_P[at], outcomes.cluster_P[at])}
    return found


def powers(samples: int) -> list[int]:
    """Return the k of pass@k and maj@k: powers of two, and the number of samples.

    >>> powers(8), powers(6), powers(1)
    ([1, 2, 4, 8], [1, 2, 4, 6], [1])
    """
    found = [2**power for power in range(samples.bit_length()) if 2**power < samples]
    return [*found, samples]


def _mean(values_P: np.ndarray) -> float:
    return round(float(np.mean(values_P)), DIGITS)


def _order(name: str) -> tuple[bool, float, str]:
    number = name.lstrip("-").isdigit()
    return (not number, float(name) if number else 0.0, name)


Scores = Mapping[str, Any]
"""What ``scores`` returns."""
