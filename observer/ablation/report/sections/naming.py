"""What was named before the first run began, and what later: only the former is a test."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from observer.ablation.grid import Grid
from observer.ablation.record import Named, dropped, later


def told(grid: Grid, named: Sequence[Named]) -> Iterator[str]:
    """Yield what a reader must know of when contrasts, margin and seeds were chosen.

    Args:
        grid: as it is now.
        named: what was recorded, the first first.
    """
    if not named or named[0].begun:
        yield (
            "NOT RECORDED: no observer ablate run has recorded the contrasts before the first run began, so "
            "nothing here shows that they were named before figures were known."
        )
    if not named:
        return
    first = named[0]
    if names := later(grid, named):
        yield (
            f"NAMED LATER: {_all(names)}, not so in the grid file when its first run began. What is named "
            "when figures are known is no test: it has no p, and is exploratory."
        )
    if gone := dropped(grid, named):
        yield (
            f"DROPPED: {_all(gone)}, named in the grid file once and no more. What was to be tested counts "
            "in Holm's correction."
        )
    if first.margin != grid.margin:
        yield (
            f"MARGIN CHANGED: it was {first.margin:g} when the first run began, and is {grid.margin:g}; what "
            "is said of the margin is exploratory."
        )
    if more := [seed for seed in grid.seeds if seed not in first.seeds]:
        yield (
            f"SEEDS ADDED: {_all(more)}, when runs had begun. Intervals and p-values are those of a number "
            "of seeds that was fixed beforehand: who adds seeds until a difference shows finds too many."
        )
    every = dict.fromkeys(seed for one in named for seed in one.seeds)
    if fewer := [seed for seed in every if seed not in grid.seeds]:
        yield f"SEEDS REMOVED: {_all(fewer)}, in the grid file once and no more. Their runs are not read."


def _all(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
