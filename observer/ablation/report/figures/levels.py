"""Accuracy by level with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from observer.ablation.report.effects import PRIMARY, Effect, Effects
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


def level_figure(effects: Effects) -> bytes | None:
    """Draw the greedy accuracy of each variant by level, as a PNG; None where there is one level."""
    levels = effects.levels
    if len(levels) < 2:
        return None
    by_level = [effects.variants(PRIMARY, level) for level in levels]
    found = [row for row in zip(*by_level, strict=True) if row[0].estimate is not None]
    single = len(found) <= FEW
    figure = sheet(len(found))
    if single:
        drawn = [figure.add_subplot()]
        for place, row in enumerate(found):
            shift = 0.12 * (place - (len(found) - 1) / 2)
            _draw(drawn[0], row, style(place), short(row[0].name), shift)
        if len(found) > 1:
            legend(figure, drawn[0])
        else:
            label(drawn[0], found[0][0].name)
    else:
        drawn = panels(figure, len(found))
        baseline = next((row for row in found if row[0].name == effects.runs.grid.baseline), None)
        for axes, row in zip(drawn, found, strict=True):
            if baseline is not None and row is not baseline:
                _draw(axes, baseline, {"color": GREY, "marker": "", "linestyle": "--"}, "", 0, bars=False)
            _draw(axes, row, style(0) if row is not baseline else {**style(0), "color": GREY}, "", 0)
            label(axes, row[0].name)
    for axes in drawn:
        plain(axes)
        axes.set_xticks(range(len(levels)), [str(level) for level in levels])
        axes.set_ylim(-3, 103)
        axes.tick_params(labelsize=8)
    note = "" if single else beside(effects.runs.grid.baseline)
    figure.supxlabel(f"level{note}", fontsize=9, parse_math=False)
    figure.supylabel("accuracy, %, and 95 % interval", fontsize=9)
    return png(figure)


def _draw(
    axes: Axes, row: tuple[Effect, ...], look: dict[str, Any], name: str, shift: float, bars: bool = True
) -> None:
    x_L = np.arange(len(row)) + shift
    means_L = np.array([100 * one.estimate.mean for one in row if one.estimate is not None])
    axes.plot(x_L, means_L, label=name, linewidth=1, markersize=4, **look)
    for x, one in zip(x_L, row, strict=True):
        if bars and (interval := one.interval) is not None:
            axes.plot([x, x], [100 * end for end in interval], color=look["color"], linewidth=1.2, alpha=0.7)
