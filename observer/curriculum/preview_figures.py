"""The draws of a simulated run as a table for the terminal and as a picture."""

from __future__ import annotations

from pathlib import Path
from textwrap import wrap

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.box import SIMPLE
from rich.table import Table

from observer.curriculum.preview import Drawn

ROWS = 10
"""Rows of the table; each covers a range of steps."""
SMOOTH = 60
"""Points of the picture."""
WIDTH = 110
"""Characters of a line above the picture."""


def table(drawn: Drawn, title: str) -> Table:
    """Return a table of the levels' shares over ten parts of the run."""
    steps = len(drawn.counts_T_L)
    shown = Table(title=title, box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column("steps", justify="right", no_wrap=True)
    if any(drawn.stages):
        shown.add_column("stage", no_wrap=True)
    for level in drawn.levels:
        shown.add_column(f"{level}", justify="right", no_wrap=True)
    for heading in ("difficulty", "complexity"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for first, last in stretches(steps, min(ROWS, steps)):
        counts_L = drawn.counts_T_L[first:last].sum(0)
        cells = [f"{first}..{last - 1}"]
        if any(drawn.stages):
            cells.append(drawn.stages[last - 1] or "-")  # that of the last step
        cells += [f"{share:.0%}" if share else "" for share in (counts_L / counts_L.sum()).tolist()]
        cells += [
            f"{float(drawn.difficulty_T[first:last].mean()):.3f}",
            f"{float(drawn.complexity_T[first:last].mean()):.1f}",
        ]
        shown.add_row(*cells)
    total = int(drawn.counts_T_L.sum())
    shown.caption = (
        f"{total:,} draws of {drawn.distinct:,} of {drawn.rows:,} rows "
        f"({drawn.distinct / drawn.rows:.1%} of the ladder), one row at most {drawn.most} times"
    )
    return shown


def stretches(steps: int, parts: int) -> list[tuple[int, int]]:
    """Cut steps into parts that differ by one step at most.

    >>> stretches(7, 3)
    [(0, 2), (2, 4), (4, 7)]
    """
    return [(part * steps // parts, (part + 1) * steps // parts) for part in range(parts)]


def picture(drawn: Drawn, title: str, path: Path) -> None:
    """Draw the shares of the levels over the steps, and mean difficulty beside them, as a PNG."""
    spans = stretches(len(drawn.counts_T_L), min(SMOOTH, len(drawn.counts_T_L)))
    middle = [(first + last - 1) / 2 for first, last in spans]
    shares = torch.stack([drawn.counts_T_L[first:last].sum(0).double() for first, last in spans])
    shares /= shares.sum(-1, keepdim=True)
    figure = Figure(figsize=(9, 4.5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colours = [_colour(place, len(drawn.levels)) for place in range(len(drawn.levels))]
    axes.stackplot(middle, shares.T.numpy(), labels=[str(level) for level in drawn.levels], colors=colours)
    axes.set(xlim=(middle[0], middle[-1] or 1), ylim=(0, 1), xlabel="step", ylabel="share of the batch")
    lines = [part for line in title.split("\n") for part in wrap(line, WIDTH)]  # schedules may be nested
    axes.set_title("\n".join(lines), loc="left", fontsize=10)
    mean = axes.twinx()
    difficulty = [float(drawn.difficulty_T[first:last].mean()) for first, last in spans]
    mean.plot(middle, difficulty, color="black", linewidth=1.5, label="mean difficulty")
    mean.set(ylim=(0, 1), ylabel="mean difficulty (black line)")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], title="level", loc="outside right center", frameon=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")


def _colour(place: int, count: int) -> tuple[float, float, float]:
    from matplotlib import colormaps

    red, green, blue, _ = colormaps["viridis"](place / max(1, count - 1))
    return red, green, blue
