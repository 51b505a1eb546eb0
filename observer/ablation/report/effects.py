"""What the runs say: figures of each variant, and differences of variants on the same seeds and problems."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from observer.ablation.contrasts import read_contrasts
from observer.ablation.grid_file import Place
from observer.ablation.record import dropped, later
from observer.ablation.report.collect import Collected
from observer.statistics import Estimate, crossed, holm
from observer.types import RefusedError

PRIMARY = "accuracy"
"""The figure that is tested: accuracy of greedy answers."""
UNBOUNDED = ("length", "sampled_length")
"""Figures that are no share of answers."""


@dataclass(frozen=True)
class Effect:
    """A weighted sum of variants: one variant's figure, or a difference of several."""

    name: str
    weights: Mapping[str, float]
    """Variant -> its weight; the weights of a difference add up to 0."""
    figure: str
    estimate: Estimate | None
    """None where no seed is complete in all variants, or the runs lack the figure."""
    seeds: tuple[int, ...]
    left_out: tuple[int, ...]
    """Seeds that some of its variants have and others lack."""
    level: int | None = None
    """Of the problems; None for all of them."""

    @property
    def sure(self) -> bool:
        """Whether there is an interval over seeds."""
        return self.estimate is not None and len(self.seeds) > 1

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval over seeds and problems; None where there is none, or it is the whole line."""
        if self.estimate is None or not self.sure:
            return None
        return self.estimate.known_interval()

    @property
    def p_value(self) -> float | None:
        """Two-sided, against 0; None without an interval over seeds."""
        return self.estimate.p_value() if self.estimate is not None and self.sure else None


def effect(
    runs: Collected, name: str, weights: Mapping[str, float], figure: str, level: int | None = None
) -> Effect:
    """Estimate a weighted sum of variants, from the seeds that all of them have.

    Args:
        runs: what was collected.
        name: of the effect.
        weights: variant -> its weight.
        figure: of a problem.
        level: of the problems; None for all of them.
    """
    weights = {variant: weight for variant, weight in weights.items() if weight}
    seeds = runs.seeds(*weights)
    some = {seed for variant in weights for seed in runs.seeds(variant)}
    left_out = tuple(seed for seed in runs.grid.seeds if seed in some and seed not in seeds)
    estimate = None
    if seeds and figure in runs.figures:
        values_S_P = sum(weight * runs.values(variant, seeds, figure) for variant, weight in weights.items())
        kept_P = np.ones(len(runs.problems.ids), bool) if level is None else runs.problems.levels_P == level
        bounds = None if figure in UNBOUNDED else _bounds(weights)
        repeated = runs.problems.clusters < len(runs.problems.ids)
        clusters = runs.problems.clusters_P[kept_P].tolist() if repeated else None
        estimate = crossed(np.asarray(values_S_P)[:, kept_P], clusters, bounds)
    return Effect(name, weights, figure, estimate, seeds, left_out, level)


def _bounds(weights: Mapping[str, float]) -> tuple[float, float]:
    """Return the least and the greatest weighted sum of shares."""
    return sum(min(0.0, one) for one in weights.values()), sum(max(0.0, one) for one in weights.values())


@dataclass(frozen=True)
class Effects:
    """Every effect that the report shows, each computed when it is asked for."""

    runs: Collected

    @cached_property
    def levels(self) -> tuple[int, ...]:
        """Levels of the held-out problems."""
        return tuple(sorted({*self.runs.problems.levels_P.tolist()}))

    def variants(self, figure: str, level: int | None = None) -> list[Effect]:
        """Return a figure of every variant."""
        return [effect(self.runs, name, {name: 1.0}, figure, level) for name in self.runs.grid.variants]

    def primary(self, figure: str = PRIMARY, level: int | None = None) -> list[Effect]:
        """Return the primary contrasts of the grid file."""
        contrasts = self.runs.grid.contrasts
        return [effect(self.runs, name, weights, figure, level) for name, weights in contrasts.items()]

    def exploratory(self, figure: str = PRIMARY, level: int | None = None) -> list[Effect]:
        """Return every variant less the baseline, and the main effects that are not primary."""
        return [
            effect(self.runs, name, weights, figure, level) for name, weights in explored(self.runs).items()
        ]

    @cached_property
    def planned(self) -> tuple[str, ...]:
        """What Holm's correction counts: all contrasts that were ever named as primary."""
        return (*self.runs.grid.contrasts, *dropped(self.runs.grid, self.runs.named))

    @cached_property
    def untested(self) -> tuple[str, ...]:
        """Primary contrasts that were named later, and are no tests."""
        return later(self.runs.grid, self.runs.named)

    def tested(self, one: Effect) -> bool:
        """Return whether an effect has a p-value: greedy, primary, named in time, of several seeds."""
        named = one.name in self.runs.grid.contrasts and one.name not in self.untested
        return named and one.figure == PRIMARY and one.level is None and one.p_value is not None

    @cached_property
    def holm(self) -> dict[str, float]:
        """Contrast -> its p-value after Holm; a planned test that is not made counts, with p = 1."""
        found = {one.name: one.p_value for one in self.primary() if self.tested(one)}
        p_values = {name: found.get(name) for name in self.planned}
        return holm({name: 1.0 if value is None else value for name, value in p_values.items()})


def explored(runs: Collected) -> dict[str, dict[str, float]]:
    """Return the weights of the exploratory differences by name; a primary contrast is not repeated."""
    grid = runs.grid
    primary = [_scaled(weights) for weights in grid.contrasts.values()]
    found = {
        f"{name} - {grid.baseline}": {name: 1.0, grid.baseline: -1.0}
        for name in grid.variants
        if name != grid.baseline
    }
    found |= dict(_main_effects(runs))
    return {name: weights for name, weights in found.items() if _scaled(weights) not in primary}


def _scaled(weights: Mapping[str, float]) -> dict[str, float]:
    return {name: round(weight, 9) for name, weight in weights.items() if weight}


def _main_effects(runs: Collected) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the effect of each level of an axis against its first, where the design has one."""
    grid = runs.grid
    cells = {name: variant.cells for name, variant in grid.variants.items() if variant.cells}
    levels = {axis: tuple(names) for axis, names in grid.axes.items()}
    for axis, (off, *more) in levels.items():
        for level in more:
            asked = {axis: {"effect": axis, "level": level}}
            try:
                found = read_contrasts(asked, grid.variants, cells, levels, bool(grid.aliases), Place(""))
            except RefusedError:  # no two cells differ in this axis alone
                continue
            yield f"effect of {axis}" + (f": {level} - {off}" if len(more) > 1 else ""), found[axis]
