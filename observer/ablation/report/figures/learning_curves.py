"""Learning curves: the mean over seeds with its interval as a band; of two seeds each as well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from observer.ablation.report.collect import Collected
from observer.ablation.report.curves import common_axis, of_split
from observer.ablation.report.figures.canvas import (
    FEW,
    GREY,
    beside,
    label,
    legend,
    panels,
    plain,
    png,
    sheet,
    short,
    style,
)
from observer.statistics import student

AXES = {
    "prompts": "prompts drawn",
    "tokens": "completion tokens drawn",
    "seconds": "seconds of training",
}


@dataclass(frozen=True)
class Line:
    """The learning curve of a variant."""

    variant: str
    x_N: np.ndarray
    mean_N: np.ndarray
    low_N: np.ndarray
    """Of the band; nan where there is none."""
    high_N: np.ndarray
    seeds: tuple[tuple[np.ndarray, np.ndarray], ...]
    """(spent, accuracy) at each evaluation of each seed."""


def curve_figure(runs: Collected, split: str, budget: str) -> bytes | None:
    """Draw accuracy against what was spent, as a PNG; None where no variant has two evaluations.

    Args:
        runs: what was collected.
        split: whose evaluations are read.
        budget: ``prompts``, ``tokens`` or ``seconds``.
    """
    found = [line for name in runs.grid.variants if (line := _line(runs, name, split, budget)) is not None]
    if not found:
        return None
    single = len(found) <= FEW
    figure = sheet(len(found))
    if single:
        axes = figure.add_subplot()
        for place, line in enumerate(found):
            _draw(axes, line, style(place), short(line.variant))
        drawn = [axes]
        if len(found) > 1:
            legend(figure, axes)
        else:
            label(axes, found[0].variant)
    else:
        drawn = panels(figure, len(found))
        baseline = next((line for line in found if line.variant == runs.grid.baseline), None)
        for axes, line in zip(drawn, found, strict=True):
            if baseline is not None and line is not baseline:
                axes.plot(baseline.x_N, 100 * baseline.mean_N, color=GREY, linestyle="--", linewidth=1)
            own = style(0) if line is not baseline else {**style(0), "color": GREY, "linestyle": "--"}
            _draw(axes, line, own, "")
            label(axes, line.variant)
    low, high = _limits(found)
    for axes in drawn:
        plain(axes)
        axes.set_ylim(low, high)
        axes.xaxis.set_major_formatter(_thousands)
        axes.tick_params(labelsize=8)
        axes.locator_params(axis="x", nbins=6 if single else 3)
    note = "" if single else beside(runs.grid.baseline)
    figure.supxlabel(f"{AXES[budget]}{note}", fontsize=9, parse_math=False)
    figure.supylabel(f"accuracy on data.{split}, %, and 95 % over seeds", fontsize=9)
    return png(figure)


def _line(runs: Collected, variant: str, split: str, budget: str) -> Line | None:
    curves = [runs.measured[variant, seed].curve for seed in runs.seeds(variant)]
    x_N = common_axis(curves, split, budget)
    if not len(x_N):
        return None
    seeds = tuple(of_split(curve, split, budget) for curve in curves)
    values_S_N = np.stack([np.interp(x_N, *one) for one in seeds])
    ends_N_2 = np.array([_band(*one) for one in zip(x_N, values_S_N.T, strict=True)])
    return Line(variant, x_N, values_S_N.mean(0), ends_N_2[:, 0], ends_N_2[:, 1], seeds)


def _band(spent: float, values_S: np.ndarray) -> tuple[float, float]:
    """Return the interval over seeds; nan where it is not known, nothing wide where all have one start."""
    if spent == 0 and len(values_S) > 1 and not np.ptp(values_S):
        return float(values_S[0]), float(values_S[0])
    return student(values_S).known_interval() or (np.nan, np.nan)


def _draw(axes: Axes, line: Line, look: dict[str, Any], name: str) -> None:
    for x_N, y_N in line.seeds if len(line.seeds) == 2 else ():  # whose band is wide whatever they are
        axes.plot(x_N, 100 * y_N, color=look["color"], linewidth=0.5, alpha=0.35)
    banded = np.isfinite(line.low_N)
    low_N, high_N = (100 * np.clip(ends_N, 0, 1) for ends_N in (line.low_N, line.high_N))
    axes.fill_between(line.x_N, low_N, high_N, where=banded, color=look["color"], alpha=0.12, linewidth=0)
    for ends_N in (low_N, high_N):  # so that bands that overlap are told apart
        axes.plot(line.x_N, ends_N, color=look["color"], linestyle=look["linestyle"], lw=0.6, alpha=0.6)
    beside_N = np.pad(banded, 1)
    alone_N = banded & ~beside_N[:-2] & ~beside_N[2:]  # between two of these there is no area to fill
    axes.vlines(line.x_N[alone_N], low_N[alone_N], high_N[alone_N], color=look["color"], lw=1.2, alpha=0.6)
    every = max(1, len(line.x_N) // 8)
    axes.plot(line.x_N, 100 * line.mean_N, label=name, linewidth=1.6, markersize=4, markevery=every, **look)


def _limits(found: list[Line]) -> tuple[float, float]:
    """Return the range of bands and seeds; bands of few seeds may be far wider than the picture."""
    every = 100 * np.concatenate([y_N for line in found for _, y_N in line.seeds])
    ends = 100 * np.concatenate([ends_N for line in found for ends_N in (line.low_N, line.high_N)])
    ends = np.concatenate([ends[np.isfinite(ends)], every])
    low, high, room = float(every.min()), float(every.max()), max(2.0, 0.5 * float(np.ptp(every)))
    return max(-1.0, ends.min() - 1, low - room), min(101.0, ends.max() + 1, high + room)


def _thousands(value: float, _: float | None) -> str:
    """Return a number for an axis.

    >>> _thousands(1500, 0), _thousands(2_000_000, 0), _thousands(40, 0)
    ('1.5k', '2M', '40')
    """
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"
