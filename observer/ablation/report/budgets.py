"""Differences at an equal budget: prompts, tokens or seconds, from the learning curves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from observer.ablation.report.collect import Collected
from observer.ablation.report.curves import at_budget, chosen_split, of_split
from observer.statistics import Estimate, student


@dataclass(frozen=True)
class Budgeted:
    """A difference in accuracy where all compared runs have spent the same."""

    name: str
    budget: str
    spent: float | None
    """The smallest total of the compared runs; None where there is no curve."""
    estimate: Estimate | None
    """Over seeds; None where a run has no accuracy at the budget."""
    seeds: tuple[int, ...]

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval over seeds; None with one seed, or where seeds have no spread to measure."""
        return None if self.estimate is None else self.estimate.known_interval()


def split_of(runs: Collected) -> str:
    """Return the split that the curves of all runs are read from."""
    return chosen_split([one.curve for one in runs.measured.values()])


def at_equal(runs: Collected, name: str, weights: Mapping[str, float], budget: str, split: str) -> Budgeted:
    """Return a difference at the smallest total that the compared runs have spent.

    The runs of one seed are compared with each other, so only seeds that all variants have count.

    Args:
        runs: what was collected.
        name: of the contrast.
        weights: variant -> its weight.
        budget: ``prompts``, ``tokens`` or ``seconds``.
        split: whose evaluations are read.
    """
    weights = {variant: weight for variant, weight in weights.items() if weight}
    seeds = runs.seeds(*weights)
    curves = {(variant, seed): runs.measured[variant, seed].curve for variant in weights for seed in seeds}
    totals = [of_split(curve, split, budget)[0] for curve in curves.values()]
    if not totals or min(map(len, totals)) < 2:
        return Budgeted(name, budget, None, None, seeds)
    spent = float(min(total[-1] for total in totals))
    found = {key: at_budget(curve, split, budget, spent) for key, curve in curves.items()}
    values_S = [
        sum(
            weight * value
            for variant, weight in weights.items()
            if (value := found[variant, seed]) is not None
        )
        for seed in seeds
    ]
    if None in found.values():
        return Budgeted(name, budget, spent, None, seeds)
    return Budgeted(name, budget, spent, student(np.array(values_S)), seeds)
