"""Pass rates by level over the steps of a run, as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

COLUMNS = 120
"""The most columns of the picture; a column holds one or more steps."""


def binned(history: Sequence[Mapping[int, tuple[int, float]]]) -> tuple[list[int], np.ndarray]:
    """Return the levels and their mean pass rate per column of steps, (L, columns), NaN where none was drawn.

    Args:
        history: per step, level -> (prompts, sum of their pass rates).

    >>> levels, rates = binned([{1: (2, 1.0)}, {1: (2, 2.0), 3: (1, 0.25)}])
    >>> levels, rates.tolist()
    ([1, 3], [[0.5, 1.0], [nan, 0.25]])
    """
    levels = sorted({level for step in history for level in step})
    columns = min(COLUMNS, len(history))
    counts, sums = np.zeros((len(levels), columns)), np.zeros((len(levels), columns))
    place = {level: row for row, level in enumerate(levels)}
    for number, step in enumerate(history):
        column = number * columns // len(history)
        for level, (count, total) in step.items():
            counts[place[level], column] += count
            sums[place[level], column] += total
    with np.errstate(invalid="ignore"):
        return levels, sums / counts


def heat_map(history: Sequence[Mapping[int, tuple[int, float]]]) -> np.ndarray:
    """Draw pass rates by level over the steps, (height, width, 3), uint8; blank where nothing was drawn.

    Args:
        history: see ``binned``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    levels, rates = binned(history)
    figure = Figure(figsize=(8, 1.2 + 0.28 * len(levels)), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shown = axes.imshow(
        rates,
        aspect="auto",
        origin="lower",
        vmin=0,
        vmax=1,
        cmap="viridis",
        interpolation="nearest",
        extent=(0, len(history), -0.5, len(levels) - 0.5),
    )
    axes.set(xlabel="step", ylabel="level", yticks=range(len(levels)), yticklabels=levels)
    figure.colorbar(shown, ax=axes, label="pass rate")
    canvas.draw()  # type: ignore[no-untyped-call]
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()  # type: ignore[no-untyped-call]
