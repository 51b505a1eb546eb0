"""What the figures of the report share: a canvas without a window, colours for all, names as they are."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from observer.refusal import printable

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, told apart by the colour-blind; black and grey are for the baseline and for lines."""
MARKERS = ("o", "s", "^", "D", "v", "P")
STYLES = ("-", "--", "-.", ":")
GREY = "#777777"
DPI = 150
FEW = 4
"""Variants that one pair of axes holds; more have axes of their own each."""
COLUMNS = 4


def canvas(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches."""
    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def sheet(variants: int) -> Figure:
    """Return an empty figure for variants: one pair of axes for a few, else a pair for each."""
    if variants <= FEW:
        return canvas(7.5, 3.6)
    return canvas(9, 0.6 + 2.0 * -(-variants // COLUMNS))


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG; equal figures give equal bytes."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")  # of a name: a box stands for the letter
        figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def short(name: str, width: int = 26, lines: int = 3) -> str:
    r"""Return a name in lines that figures have room for, broken at its marks, shortened if it is too long.

    >>> short("leave_out_weighting_by_variance_of_rewards", 20)
    'leave_out_weighting_\nby_variance_of_\nrewards'
    """
    found = [""]
    for part in re.findall(r"[^\s_.+-]*[\s_.+-]*", printable(name, 200)):
        if found[-1] and len(found[-1]) + len(part.rstrip()) > width:
            found.append("")
        found[-1] += part
        while len(found[-1].rstrip()) > width:
            found[-1:] = [found[-1][:width], found[-1][width:]]
    if len(found) > lines:
        found = [*found[: lines - 1], f"{found[lines - 1][: width - 2]}.."]
    return "\n".join(line.strip() for line in found)


def style(place: int) -> dict[str, Any]:
    """Return colour, marker and line of a variant by its place."""
    return {
        "color": COLOURS[place % len(COLOURS)],
        "marker": MARKERS[place % len(MARKERS)],
        "linestyle": STYLES[place % len(STYLES)],
    }


def panels(figure: Figure, count: int) -> list[Axes]:
    """Return so many pairs of axes with a common scale, in rows."""
    columns = min(COLUMNS, count)
    rows = -(-count // columns)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    found: Sequence[Axes] = [axes for row in grid for axes in row]
    for axes in found[count:]:
        axes.set_visible(False)
    for place in range(count - columns, count):  # the lowest of a column keeps its numbers
        found[place].tick_params(labelbottom=True)
    return list(found[:count])


def plain(axes: Axes) -> None:
    """Take away what carries no information."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def beside(baseline: str) -> str:
    """Return what the grey line of every pair of axes is."""
    return f"   (grey: {short(baseline, 60, 1)})"


def label(axes: Axes, text: str) -> None:
    """Set the title of axes: a name as it is, not as a formula."""
    axes.set_title(short(text), loc="left", fontsize=8, parse_math=False)


def legend(figure: Figure, axes: Axes) -> None:
    """Name the lines of axes to their right."""
    handles, labels = axes.get_legend_handles_labels()
    drawn = figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
    for text in drawn.get_texts():
        text.set_parse_math(False)
