"""A ladder as a picture, in the style of the paper's data figure: shares, complexity, mixing, what went."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from observer.curriculum.index import RUNGS
from observer.curriculum.schedules.neura_ladder import PAPER_SHARES
from observer.ladder.inspection.figures import Figures
from observer.refusal import printable
from observer.run.files import whole_file

LEVELS = [f"{level / (RUNGS - 1):g}" for level in range(RUNGS)]
BLUE, GREY = "#0072B2", "#777777"


def draw(figures: Figures, path: Path) -> None:
    """Draw the figures of a ladder into a PNG; equal ladders give equal bytes.

    Raises:
        WriteError: it cannot be written.
    """
    figure = Figure(figsize=(10, 7), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2)
    _shares(axes[0, 0], figures)
    _complexity(axes[0, 1], figures)
    _mixing(axes[1, 0], figures)
    _stages(axes[1, 1], figures)
    with whole_file(path, "wb") as file:
        figure.savefig(file, format="png", metadata={"Software": None})


def _shares(axes: Axes, figures: Figures) -> None:
    shares_L = figures.counts_L / max(int(figures.counts_L.sum()), 1)
    axes.bar(LEVELS, shares_L, color=BLUE, label="this ladder")
    axes.plot(LEVELS, PAPER_SHARES, "_", color=GREY, markersize=16, label="paper")
    for level, share in enumerate(shares_L.tolist()):
        axes.text(
            level, max(share, PAPER_SHARES[level]), f"{share:.1%}", ha="center", va="bottom", fontsize=7
        )
    axes.set(title=f"Levels of {int(figures.counts_L.sum()):,} rows", xlabel="difficulty", ylabel="share")
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


def _stages(axes: Axes, figures: Figures) -> None:
    stages = figures.manifest["stages"]
    names = [printable(stage["step"], 24) for stage in stages]
    places = range(len(stages))
    axes.barh(places, [stage["after"] for stage in stages], color=BLUE, label="stay")
    gone = [stage["before"] - stage["after"] for stage in stages]
    axes.barh(places, gone, left=[stage["after"] for stage in stages], color="#D55E00", label="go")
    axes.set_yticks(places, names, fontsize=8)
    axes.invert_yaxis()
    axes.set(title="What each step left", xlabel="rows")
    axes.legend(frameon=False, fontsize=8, ncols=2, loc="upper center", bbox_to_anchor=(0.5, -0.14))
