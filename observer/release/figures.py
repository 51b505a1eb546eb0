"""The held-out figures of a card, with intervals over the held-out problems."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from observer.metrics.answers import Problems, read_answers
from observer.statistics import Estimate, crossed

SHOWN = {
    "accuracy": "accuracy, greedy",
    "sampled_accuracy": "accuracy, sampled at temperature 1",
    "sampled_format": "responses that keep the format",
    "sampled_truncated": "responses cut at the limit",
    "sampled_length": "tokens per response",
}
"""Figure -> its name on a card."""
SHARES = frozenset(SHOWN) - {"sampled_length"}


@dataclass(frozen=True)
class Figure:
    """One figure of a model before and after training."""

    name: str
    after: Estimate
    before: Estimate | None
    """None where the answers before training were not kept."""
    gain: Estimate | None
    """Of the paired differences, problem by problem."""


@dataclass(frozen=True)
class Figures:
    """The held-out figures of a run."""

    problems: int
    clusters: int
    """Problems that differ in their picture."""
    rows: tuple[Figure, ...]


def read_figures(before: Path, after: Path) -> Figures:
    """Return the figures of a run from its answers one by one.

    Args:
        before: file of outcomes before training; it may be missing.
        after: file of outcomes of the model.

    Raises:
        RefusedError: a file is not as a run writes it.
    """
    problems, measured = read_answers(after)
    earlier: dict[str, np.ndarray] = {}
    if before.is_file():
        others, found = read_answers(before)
        earlier = found if others.ids == problems.ids else {}
    rows = [_figure(name, measured[name], earlier.get(name), problems) for name in SHOWN if name in measured]
    return Figures(len(problems.ids), problems.clusters, tuple(rows))


def _figure(name: str, after_P: np.ndarray, before_P: np.ndarray | None, problems: Problems) -> Figure:
    def estimate(values_P: np.ndarray, low: float) -> Estimate:
        clusters_P = problems.clusters_P.tolist()
        return crossed([values_P], clusters_P, (low, 1.0) if name in SHARES else None)

    if before_P is None:
        return Figure(SHOWN[name], estimate(after_P, 0.0), None, None)
    gain = estimate(after_P - before_P, -1.0)
    return Figure(SHOWN[name], estimate(after_P, 0.0), estimate(before_P, 0.0), gain)
