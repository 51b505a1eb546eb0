"""Two models on the same rows: paired difference with its interval, McNemar's table, rows won and lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from scipy.stats import binomtest

from observer.evaluation.comparison.reading import Evaluated
from observer.evaluation.intervals import DIGITS, estimate
from observer.evaluation.outcomes import rows_of
from observer.statistics import Estimate, holm, rows_to_resolve, smallest_effect
from observer.types import RefusedError, Verdict

MEASURES = ("greedy", "sampled")


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What M models answered to the R rows of a benchmark."""

    ids_R: list[str]
    cluster_R: np.ndarray
    """Rows that show the same pictures have the same number."""
    right: Mapping[str, np.ndarray]
    """``greedy``: whether a response is right; ``sampled``: the share of samples that are; each (M, R), nan
    where the row was not asked. ``sampled`` is missing where a model has no samples."""


def read_verdicts(evaluations: Sequence[Evaluated], benchmark: str) -> Verdicts:
    """Read the verdicts on a benchmark; texts are not kept."""
    ids: list[str] = []
    clusters: list[int] = []
    place: dict[str, int] = {}
    found: dict[str, list[list[float]]] = {name: [] for name in MEASURES}
    for model in evaluations:
        greedy: list[float] = []
        sampled: list[float] = []
        for record in rows_of([model.answers(benchmark)], ("id", "cluster", "greedy", "samples")):
            if model is evaluations[0]:
                ids.append(record["id"])
                clusters.append(place.setdefault(record["cluster"], len(place)))
            asked, samples = record["greedy"], record["samples"]
            greedy.append(_right(asked) if asked else np.nan)
            sampled.append(float(np.mean([_right(one) for one in samples])) if samples else np.nan)
        found["greedy"].append(greedy)
        found["sampled"].append(sampled)
    right = {name: np.array(values, np.float64) for name, values in found.items()}
    if np.isnan(right["sampled"]).all(1).any():
        del right["sampled"]
    return Verdicts(ids, np.array(clusters, np.int64), right)


def _right(response: Mapping[str, Any]) -> bool:
    return bool(response["verdict"] == Verdict.CORRECT)


def compared(verdicts: Verdicts, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return what is known of each pair of models, as builtins; the later one against the earlier.

    Args:
        verdicts: of M models.
        names: of them.

    Raises:
        RefusedError: no row was asked of both models of a pair.
    """
    return [_pair(verdicts, names, one, other) for one, other in combinations(range(len(names)), 2)]


def _pair(verdicts: Verdicts, names: Sequence[str], one: int, other: int) -> dict[str, Any]:
    first_R, second_R = (verdicts.right["greedy"][model] for model in (one, other))
    asked_R = ~np.isnan(first_R + second_R)
    if not asked_R.any():
        raise RefusedError(f"no row was asked of both {names[one]} and {names[other]}; see their scores.json")
    found: dict[str, Any] = {
        "models": [names[one], names[other]],
        "rows": int(asked_R.sum()),
        "clusters": len(np.unique(verdicts.cluster_R[asked_R])),
        "not_asked": int((~asked_R).sum()),
    }
    for measure, right_M_R in verdicts.right.items():
        found[measure] = difference(
            right_M_R[one, asked_R], right_M_R[other, asked_R], verdicts.cluster_R[asked_R]
        )
    won_R, lost_R = second_R > first_R, first_R > second_R
    both_R = (first_R == 1) & (second_R == 1)
    won, lost = int(won_R.sum()), int(lost_R.sum())
    found["mcnemar"] = {
        "both": int(both_R.sum()),
        "won": won,
        "lost": lost,
        "neither": found["rows"] - won - lost - int(both_R.sum()),
        "p": _rounded(mcnemar(won, lost)),
    }
    return found | {
        "won": [verdicts.ids_R[row] for row in np.flatnonzero(won_R)],
        "lost": [verdicts.ids_R[row] for row in np.flatnonzero(lost_R)],
    }


def difference(first_P: np.ndarray, second_P: np.ndarray, cluster_P: np.ndarray) -> dict[str, Any]:
    """Return what is known of the difference of two models on the same rows, second less first.

    Args:
        first_P: in 0 .. 1, of each row.
        second_P: the same of the other model.
        cluster_P: rows of a picture have the same number.
    """
    found = estimate(second_P - first_P, cluster_P, bounds=(-1.0, 1.0))
    return {
        "scores": [_rounded(float(values_P.mean())) for values_P in (first_P, second_P)],
        "difference": [_rounded(value) for value in (found.mean, *found.interval())],
        "error": _rounded(found.error),
        "p": _rounded(found.p_value()),
        **_needed(found),
    }


def _needed(found: Estimate) -> dict[str, Any]:
    """Return what it would take to tell the models apart, at 95 % and with a power of 80 %."""
    least = smallest_effect(found)
    return {
        "rows_needed": rows_to_resolve(found, found.mean) if found.mean else None,
        "smallest_difference": None if least is None else _rounded(least),
    }


def mcnemar(won: int, lost: int) -> float:
    """Return the exact two-sided p-value of McNemar's test: rows won and lost as tosses of a fair coin.

    Rows are taken as independent of each other: where several show one picture it is too small.

    Args:
        won: rows that only one model has right.
        lost: rows that only the other one has right.

    Reference:
        McNemar 1947, Psychometrika 12, 153-157.

    >>> mcnemar(9, 1), mcnemar(0, 0)
    (0.02148..., 1.0)
    """
    return float(binomtest(won, won + lost).pvalue) if won + lost else 1.0


def adjust(pairs: Mapping[str, Sequence[dict[str, Any]]]) -> None:
    """Add Holm's p-values, over all pairs on all benchmarks, where there are several.

    Args:
        pairs: benchmark -> its pairs, which are changed.
    """
    for measure in MEASURES:
        found = {
            f"{benchmark} {place}": pair[measure]
            for benchmark, several in pairs.items()
            for place, pair in enumerate(several)
            if measure in pair
        }
        if len(found) > 1:
            for name, value in holm({name: each["p"] for name, each in found.items()}).items():
                found[name]["p_holm"] = _rounded(value)


def _rounded(value: float) -> float:
    """Return a number of so many significant digits, so that small p-values stay."""
    return float(f"{value:.{DIGITS}g}")
