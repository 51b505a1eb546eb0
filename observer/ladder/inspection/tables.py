"""A ladder on the terminal: levels, mixing, sources, what each step removed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from rich.box import SIMPLE
from rich.table import Table

from observer.curriculum.index import RUNGS
from observer.curriculum.schedules.neura_ladder import PAPER_SHARES
from observer.ladder.inspection.figures import WIDE, Figures
from observer.refusal import printable

PAPER_COMPLEXITY = (153, 164, 172, 178, 197, 208, 223, 236, 248)
"""Mean complexity of the paper's rows by level, read off its figure by eye."""


def tables(figures: Figures) -> Iterator[Table]:
    """Yield the tables of a ladder."""
    yield levels(figures)
    if figures.mixing_L_L is not None:
        yield mixing(figures.mixing_L_L)
    if len(figures.sources) > 1:
        yield sources(figures)
    yield stages(figures)


def levels(figures: Figures) -> Table:
    """Return shares and complexity by level, beside the paper's."""
    shown = _table(
        "levels: difficulty in eighths", "level", "rows", "share", "paper", "complexity", "paper", "wide"
    )
    shares_L = figures.counts_L / max(int(figures.counts_L.sum()), 1)
    for level in range(RUNGS):
        mean = figures.complexity_L[level]
        shown.add_row(
            f"{level / (RUNGS - 1):g}",
            f"{figures.counts_L[level]:,}",
            f"{shares_L[level]:.1%}",
            f"{PAPER_SHARES[level]:.1%}",
            "" if np.isnan(mean) else f"{mean:.1f}",
            f"{PAPER_COMPLEXITY[level]}",
            f"{figures.wide_L[level]:,}",
        )
    shown.caption = (
        f"wide: rows whose difficulty has an interval of {WIDE:g} or more; more responses make it narrower"
    )
    return shown


def mixing(mixing_L_L: np.ndarray) -> Table:
    """Return the shares of levels by slot."""
    names = [f"{level / (RUNGS - 1):g}" for level in range(RUNGS)]
    shown = _table("mixing: share of each level in a slot", "slot", *names)
    for slot in range(RUNGS):
        cells = [f"{share:.0%}" if share else "" for share in mixing_L_L[slot].tolist()]
        shown.add_row(names[slot], *cells)
    return shown


def sources(figures: Figures) -> Table:
    """Return the rows of each source by level."""
    names = [f"{level / (RUNGS - 1):g}" for level in range(RUNGS)]
    shown = _table("sources: rows by level", "source", *names)
    for name, counts_L in figures.sources.items():
        shown.add_row(printable(name, 30), *(f"{count:,}" if count else "" for count in counts_L.tolist()))
    return shown


def stages(figures: Figures) -> Table:
    """Return what each step left."""
    shown = _table("steps", "step", "before", "after", "removed")
    for stage in figures.manifest["stages"]:
        before, after = stage["before"], stage["after"]
        gone = f"{before - after:,} ({(before - after) / max(before, 1):.1%})" if before > after else ""
        shown.add_row(printable(stage["step"], 40), f"{before:,}", f"{after:,}", gone)
    return shown


def _table(title: str, first: str, *others: str) -> Table:
    shown = Table(title=title, title_justify="left", box=SIMPLE, pad_edge=False, padding=(0, 1, 0, 0))
    shown.add_column(first, no_wrap=True)
    for name in others:
        shown.add_column(name, justify="right", no_wrap=True)
    return shown
