"""Learning curves: read from a run, interpolated at an equal budget, averaged over seeds with a band."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from observer.refusal import printable
from observer.types import RefusedError

BUDGETS = ("prompts", "tokens", "seconds")
"""What a run spends: prompts drawn, completion tokens drawn, seconds of training."""
KEPT = ("accuracy", "sampled_accuracy", "format", "length")
"""Figures of an evaluation that the report keeps."""


@dataclass(frozen=True)
class Point:
    """One evaluation during a run."""

    step: int
    split: str
    spent: Mapping[str, float]
    """Budget -> what the run had spent by then."""
    figures: Mapping[str, float]


def read_curve(path: Path) -> tuple[Point, ...]:
    """Return the evaluations of a run in their order; none where the run wrote none.

    Raises:
        RefusedError: a line is not as a run writes it; names file and line.
    """
    if not path.is_file():
        return ()
    points = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            record = json.loads(line)
            spent = {name: float(record[name]) for name in BUDGETS}
            figures = {name: float(record[name]) for name in KEPT if record.get(name) is not None}
            point = Point(int(record["step"]), str(record["split"]), spent, figures)
        except (ValueError, KeyError, TypeError) as error:
            raise RefusedError(
                f"{printable(path)} line {number} is no evaluation ({error!r}); the run must be made anew"
            ) from error
        if not all(map(math.isfinite, [*spent.values(), *figures.values()])):
            raise RefusedError(f"{printable(path)} line {number} holds a figure that is not finite")
        points.append(point)
    return tuple(points)


def of_split(curve: Sequence[Point], split: str, budget: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what was spent at each evaluation of a split, and the greedy accuracy, both of shape (N,)."""
    found = [one for one in curve if one.split == split and "accuracy" in one.figures]
    spent = np.array([one.spent[budget] for one in found])
    return spent, np.array([one.figures["accuracy"] for one in found])


def chosen_split(curves: Sequence[Sequence[Point]]) -> str:
    """Return the split that has more evaluations in the run that has fewest; ``test`` if none has more."""
    fewest = {
        split: min((len(of_split(curve, split, "prompts")[0]) for curve in curves), default=0)
        for split in ("test", "val")
    }
    return max(fewest, key=lambda split: fewest[split])


def at_budget(curve: Sequence[Point], split: str, budget: str, spent: float) -> float | None:
    """Return the accuracy at a budget, on the straight line between the evaluations beside it.

    Returns:
        None where the curve has fewer than two evaluations, or does not reach from one side to the other.
    """
    x_N, y_N = of_split(curve, split, budget)
    if len(x_N) < 2 or not x_N[0] <= spent <= x_N[-1]:
        return None
    return float(np.interp(spent, x_N, y_N))


def common_axis(curves: Sequence[Sequence[Point]], split: str, budget: str, points: int = 60) -> np.ndarray:
    """Return places at which all curves have an accuracy: the evaluations if they share them, else evenly.

    Returns:
        Shape (N,); empty where the curves do not overlap.
    """
    axes = [of_split(curve, split, budget)[0] for curve in curves]
    if not axes or min(map(len, axes)) < 2:
        return np.array([])
    if all(np.array_equal(axis, axes[0]) for axis in axes):
        return axes[0]
    low, high = max(axis[0] for axis in axes), min(axis[-1] for axis in axes)
    return np.linspace(low, high, points) if low < high else np.array([])
