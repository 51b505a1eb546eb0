"""A ladder as a picture, in the style of the paper's data figure: shares, complexity, mixing, what went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from observer.curriculum.index import RUNGS
from observer.curriculum.schedules.neura_ladder import PAPER_SHARES
from observer.ladder.inspection.figures import WIDE, Figures
from observer.refusal import printable
from observer.run.files import whole_file

LEVELS = [f"{level / (RUNGS - 1):g}" for level in range(RUNGS)]
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#777777"


def draw(figures: Figures, path: Path) -> None:
    """Draw the figures of a ladder into a PNG; equal ladders give equal bytes.

    Raises:
        WriteError: it cannot be written.
    """
    figure = Figure(figsize=(10, 10), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(3, 2)
    _shares(axes[0, 0], figures)
    _complexity(axes[0, 1], figures)
    _mixing(axes[1, 0], figures)
    _sources(axes[1, 1], figures)
    _wide(axes[2, 0], figures)
    _stages(axes[2, 1], figures)
    with whole_file(path, "wb") as file:
        figure.savefig(file, format="png", metadata={"Software": None})


def _shares(axes: Axes, figures: Figures) -> None:
    shares_L = figures.counts_L / max(int(figures.counts_L.sum()), 1)
    axes.bar(LEVELS, shares_L, color=BLUE, label="this ladder")
    axes.plot(LEVELS, PAPER_SHARES, "_", color=ORANGE, markersize=18, markeredgewidth=2, label="paper")
    for level, share in enumerate(shares_L.tolist()):
        below = share < PAPER_SHARES[level] < share + 0.012  # its own mark would be under the number
        top = PAPER_SHARES[level] if below else share
        axes.text(level, top, f"{share:.1%}", ha="center", va="bottom", fontsize=7)
    axes.set(title=f"Levels of {int(figures.counts_L.sum()):,} rows", xlabel="difficulty", ylabel="share")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.margins(y=0.12)
    axes.legend(frameon=False, fontsize=8)


def _complexity(axes: Axes, figures: Figures) -> None:
    axes.plot(LEVELS, figures.complexity_L, "o-", color=BLUE)
    low = np.nanmin(figures.complexity_L) if np.isfinite(figures.complexity_L).any() else 0
    axes.set(title="Complexity by level", xlabel="difficulty", ylabel="mean response, tokens")
    axes.set_ylim(bottom=0 if low < 40 else None)


def _mixing(axes: Axes, figures: Figures) -> None:
    if figures.mixing_L_L is None:
        axes.text(0.5, 0.5, "not mixed: in order of difficulty", ha="center", va="center", color=GREY)
        axes.set_axis_off()
        return
    axes.imshow(figures.mixing_L_L, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for slot, row in enumerate(figures.mixing_L_L.tolist()):
        for level, share in enumerate(row):
            if share:
                colour = "white" if share > 0.5 else "black"
                axes.text(level, slot, f"{share:.0%}", ha="center", va="center", fontsize=7, color=colour)
    axes.set(title="Mixing by slot", xlabel="difficulty", ylabel="slot")
    axes.set_xticks(range(RUNGS), LEVELS)
    axes.set_yticks(range(RUNGS), LEVELS)


def _sources(axes: Axes, figures: Figures) -> None:
    """Draw the share of each level that each source has."""
    total_L = np.maximum(figures.counts_L, 1)
    below_L = np.zeros(RUNGS)
    colours = colormaps["tab20"].colors  # type: ignore[attr-defined]
    for place, (name, counts_L) in enumerate(figures.sources.items()):
        share_L = counts_L / total_L
        axes.bar(LEVELS, share_L, bottom=below_L, color=colours[place % 20], label=printable(name, 24))
        below_L += share_L
    axes.set(title="Sources by level", xlabel="difficulty", ylabel="share of the level")
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.legend(frameon=False, fontsize=7, loc="upper left", bbox_to_anchor=(1, 1))


def _wide(axes: Axes, figures: Figures) -> None:
    """Draw the rows of each level, and those of them whose difficulty is not well known."""
    axes.bar(LEVELS, figures.counts_L, color=BLUE, label="narrower")
    axes.bar(LEVELS, figures.wide_L, color=ORANGE, label=f"interval of {WIDE:g} or wider")
    axes.set(title="Confidence of the difficulty", xlabel="difficulty", ylabel="rows")
    axes.legend(frameon=False, fontsize=8)


def _stages(axes: Axes, figures: Figures) -> None:
    stages = figures.manifest["stages"]
    names = [printable(stage["step"], 24) for stage in stages]
    places = range(len(stages))
    axes.barh(places, [stage["after"] for stage in stages], color=BLUE, label="stay")
    gone = [stage["before"] - stage["after"] for stage in stages]
    axes.barh(places, gone, left=[stage["after"] for stage in stages], color=ORANGE, label="go")
    for place, (stage, count) in enumerate(zip(stages, gone, strict=True)):
        if count:
            axes.text(stage["before"], place, f"-{count:,} ", ha="right", va="center", fontsize=7)
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set(title="What each step left", xlabel="rows")
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
